-- Why: how often each firmware was fetched, alone and within a campaign. A download isn't an event, so these rows can't be rebuilt from
-- EVENTS: they are a named exception, no read model, and neither rebuilt nor compared. Each process that gives out bytes adds what it
-- counted in small flushes. `download_flushes` remembers the latest flush of each of them, in the transaction that adds it: a flush whose
-- outcome was not heard of is sent again and counts once.
CREATE TABLE download_counters (
    tenant text NOT NULL,
    firmware_id text NOT NULL,
    campaign_id text NOT NULL DEFAULT '', -- empty: in no campaign
    started bigint NOT NULL,
    completed bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (tenant, firmware_id, campaign_id)
);
CREATE INDEX download_counters_campaign ON download_counters (tenant, campaign_id);
SELECT waybill_protect('download_counters');

CREATE TABLE download_flushes (
    writer uuid NOT NULL PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON download_flushes TO waybill_projector;

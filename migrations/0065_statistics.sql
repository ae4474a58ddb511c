-- Why: statistics of a tenant are read often, and must not look at each device or update for it. The projection `fleet` keeps these sums in the
-- transaction that changes the rows they count. They are empty until it is rebuilt with this version.
CREATE TABLE statistics (
    tenant text NOT NULL,
    period text NOT NULL, -- a day in UTC as YYYY-MM-DD, or 'now' for what is at the checkpoint
    counts jsonb NOT NULL,
    times jsonb NOT NULL,
    PRIMARY KEY (tenant, period)
) WITH (fillfactor = 50);
SELECT waybill_protect('statistics');

-- How many devices run a version: by how much that changed in a span that begins at `since_s` (seconds since 1970, UTC), or altogether
-- (span 'all'). A time in the past is a sum over months, days, hours and minutes, so few rows are read for any time.
CREATE TABLE device_populations (
    tenant text NOT NULL,
    component text NOT NULL,
    span text NOT NULL,
    since_s bigint NOT NULL,
    device_type text NOT NULL, -- here and below: empty if not known
    device_model text NOT NULL,
    hardware_version text NOT NULL,
    version text NOT NULL,
    devices bigint NOT NULL,
    PRIMARY KEY (tenant, component, span, since_s, device_type, device_model, hardware_version, version)
) WITH (fillfactor = 80);
SELECT waybill_protect('device_populations');

-- Members of a campaign that are failed now, by what they have in common.
CREATE TABLE campaign_failures (
    tenant text NOT NULL,
    campaign_id text NOT NULL,
    wave bigint NOT NULL,
    code text NOT NULL,
    hardware_version text NOT NULL,
    from_version text NOT NULL,
    devices bigint NOT NULL,
    PRIMARY KEY (tenant, campaign_id, wave, code, hardware_version, from_version)
);
SELECT waybill_protect('campaign_failures');

-- The hardware version of the device when the member failed last: what it is later must not change which of these sums has the member.
ALTER TABLE rollout_members ADD COLUMN failed_hardware text;

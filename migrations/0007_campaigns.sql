-- Why: campaigns as operators list them.
CREATE TABLE campaigns (
    tenant text NOT NULL,
    campaign_id text NOT NULL,
    name text,
    description text,
    firmware_id text NOT NULL,
    strategy text NOT NULL,
    status text NOT NULL,
    before_pause text,
    spec jsonb NOT NULL,
    summary jsonb,
    gate jsonb,
    wave bigint NOT NULL,
    result text,
    version bigint NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, campaign_id)
);
CREATE INDEX campaigns_newest ON campaigns (tenant, created_at, campaign_id);
SELECT waybill_protect('campaigns');

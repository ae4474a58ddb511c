-- Why: what the rollout policy sees, written by one projector with one checkpoint, so that it is always a prefix of the log. The counts
-- in campaign_progress are the ones that gates judge and operators read.
CREATE TABLE rollout_campaigns (
    tenant text NOT NULL,
    campaign_id text NOT NULL,
    status text NOT NULL,
    before_pause text,
    at_work boolean NOT NULL,
    spec jsonb NOT NULL,
    firmware jsonb,
    plan text,
    planning_position bigint NOT NULL,
    pinned boolean NOT NULL,
    wave bigint NOT NULL,
    wave_completed boolean NOT NULL,
    soaking_since timestamptz,
    paused_at timestamptz,
    accepted boolean NOT NULL,
    ledger_version bigint NOT NULL,
    granted_total bigint NOT NULL,
    recent_grants jsonb NOT NULL,
    ends_at timestamptz,
    retry_round bigint NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, campaign_id)
);
CREATE INDEX rollout_campaigns_at_work ON rollout_campaigns (tenant, campaign_id) WHERE at_work OR pinned;
SELECT waybill_protect('rollout_campaigns');

CREATE TABLE campaign_progress (
    tenant text NOT NULL,
    campaign_id text NOT NULL,
    wave bigint NOT NULL,
    opened_at timestamptz,
    completed_at timestamptz,
    enrolled bigint NOT NULL,
    reached bigint NOT NULL,
    confirmed bigint NOT NULL,
    failed bigint NOT NULL,
    gate_failed bigint NOT NULL,
    gate_settled bigint NOT NULL,
    in_use bigint NOT NULL,
    working bigint NOT NULL,
    expired bigint NOT NULL,
    cancelled bigint NOT NULL,
    superseded bigint NOT NULL,
    accepted_failed bigint NOT NULL,
    accepted_settled bigint NOT NULL,
    accepted_ended bigint NOT NULL,
    PRIMARY KEY (tenant, campaign_id, wave)
);
SELECT waybill_protect('campaign_progress');

CREATE TABLE rollout_members (
    tenant text NOT NULL,
    campaign_id text NOT NULL,
    plan text NOT NULL,
    device_id text NOT NULL,
    rank bigint NOT NULL,
    wave bigint NOT NULL,
    excluded text,
    from_version text,
    phase text NOT NULL,
    wait_reason text,
    before_cancel text,
    ordinal bigint,
    retry_of bigint,
    attempt bigint NOT NULL,
    holds_slot boolean NOT NULL,
    grant_number bigint NOT NULL,
    grant_seen boolean NOT NULL,
    reached_at timestamptz,
    ended_at timestamptz,
    not_before timestamptz,
    gate_failed boolean NOT NULL,
    confirmed_ever boolean NOT NULL,
    regressed_at timestamptz,
    late_confirmed boolean NOT NULL,
    code text,
    PRIMARY KEY (tenant, campaign_id, plan, device_id)
);
CREATE INDEX rollout_members_next ON rollout_members (tenant, campaign_id, plan, wave, rank)
    WHERE excluded IS NULL AND NOT holds_slot AND phase IN ('planned', 'queued', 'waiting');
CREATE INDEX rollout_members_holding ON rollout_members (tenant, campaign_id, plan, device_id) WHERE holds_slot;
CREATE INDEX rollout_members_failed ON rollout_members (tenant, campaign_id, plan, wave, device_id) WHERE gate_failed;
SELECT waybill_protect('rollout_members');

CREATE TABLE rollout_devices (
    tenant text NOT NULL,
    device_id text NOT NULL,
    online boolean NOT NULL,
    held boolean NOT NULL,
    hold_until timestamptz,
    decommissioned boolean NOT NULL,
    live_ordinal bigint,
    PRIMARY KEY (tenant, device_id)
);
CREATE INDEX rollout_devices_idle ON rollout_devices (tenant, device_id) WHERE online AND live_ordinal IS NULL;
CREATE INDEX rollout_devices_gone ON rollout_devices (tenant, device_id) WHERE decommissioned;
SELECT waybill_protect('rollout_devices');

-- Why: who took a device back, from what to what, why, and whether a gate did it. Phases are in `updates`.
CREATE TABLE rollbacks (
    tenant text NOT NULL,
    device_id text NOT NULL,
    ordinal bigint NOT NULL,
    campaign_id text,
    component text NOT NULL,
    from_version text,
    to_version text NOT NULL,
    firmware_id text NOT NULL,
    rolls_back bigint,
    automatic boolean NOT NULL,
    requested_by text NOT NULL,
    reason text,
    requested_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, device_id, ordinal)
);
CREATE INDEX rollbacks_newest ON rollbacks (tenant, requested_at, device_id, ordinal);
CREATE INDEX rollbacks_campaign ON rollbacks (tenant, campaign_id, requested_at, device_id, ordinal) WHERE campaign_id IS NOT NULL;
SELECT waybill_protect('rollbacks');

-- Why: a campaign takes its devices back under its own slots. A member keeps how its update ended; its rollback is beside that.
ALTER TABLE rollout_campaigns ADD COLUMN rollback jsonb;
ALTER TABLE rollout_members
    ADD COLUMN rollback_ordinal bigint,
    ADD COLUMN rollback_outcome text,
    ADD COLUMN rollback_round bigint;
ALTER TABLE campaign_progress
    ADD COLUMN rolled_back bigint NOT NULL DEFAULT 0,
    ADD COLUMN rollback_failed bigint NOT NULL DEFAULT 0,
    ADD COLUMN rolling_back bigint NOT NULL DEFAULT 0;
CREATE INDEX rollout_members_back ON rollout_members (tenant, campaign_id, plan, wave, rank, device_id)
    WHERE rollback_ordinal IS NOT NULL;

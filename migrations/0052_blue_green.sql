-- Blue/green: devices that have staged a version and wait for the switch. They are ready while others have yet to stage, so the index of ready
-- members keeps the two apart.
ALTER TABLE rollout_members ADD COLUMN staged boolean NOT NULL DEFAULT false;
ALTER TABLE campaign_progress ADD COLUMN staged bigint NOT NULL DEFAULT 0, ADD COLUMN staged_failed bigint NOT NULL DEFAULT 0;
DROP INDEX rollout_members_ready;
CREATE INDEX rollout_members_ready ON rollout_members (tenant, campaign_id, plan, staged, wave, rank) WHERE ready;

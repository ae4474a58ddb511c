-- Why: a scheduled campaign starts by itself, also after a restart, so its time is in the rows; and operators see who approved or rejected a
-- campaign. Older campaigns have neither.
ALTER TABLE rollout_campaigns ADD COLUMN starts_at timestamptz;
CREATE INDEX rollout_campaigns_scheduled ON rollout_campaigns (starts_at) WHERE starts_at IS NOT NULL;
ALTER TABLE campaigns ADD COLUMN decision jsonb;

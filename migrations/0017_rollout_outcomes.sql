-- Why: outcomes that stand whatever comes behind them. A failure that an operator accepted is none anew when the same device's next attempt
-- fails, and no evidence of a gate, so it is known for each device; one that is to begin again keeps the outcome it had until it begins. And
-- the rate of grants is told by one time in the place of a list of grants. The read model rollout is to be rebuilt.
ALTER TABLE rollout_members ADD COLUMN failure_accepted boolean NOT NULL DEFAULT false;
ALTER TABLE rollout_members ADD COLUMN gate_accepted boolean NOT NULL DEFAULT false;
ALTER TABLE rollout_members ADD COLUMN before_retry jsonb;
CREATE INDEX rollout_members_counted ON rollout_members (tenant, campaign_id, plan, wave, device_id) WHERE gate_failed AND NOT gate_accepted;
ALTER TABLE rollout_campaigns DROP COLUMN recent_grants;
ALTER TABLE rollout_campaigns ADD COLUMN paced_until timestamptz;

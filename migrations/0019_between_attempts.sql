-- Why: an update that waits for its next attempt keeps its turn on its device: no other campaign's update comes in between, unless that is
-- critical. The read model rollout is to be rebuilt.
ALTER TABLE rollout_devices ADD COLUMN between_attempts bigint;

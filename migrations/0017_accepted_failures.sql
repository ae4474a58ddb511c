-- Why: a failure that an operator accepted is none anew when the same device's next attempt fails, so it is known for each device. The
-- read model rollout is to be rebuilt.
ALTER TABLE rollout_members ADD COLUMN failure_accepted boolean NOT NULL DEFAULT false;

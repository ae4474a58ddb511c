-- Why the rollback of a device failed. The column exists where 0049 has run in the form that made it, too.
ALTER TABLE rollout_members ADD COLUMN IF NOT EXISTS rollback_code text;

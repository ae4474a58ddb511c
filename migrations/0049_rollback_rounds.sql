-- A rollback counts by its own round, and knows which firmware each device came from.
ALTER TABLE rollout_members ADD COLUMN rollback_accepted boolean NOT NULL DEFAULT false;
-- What the device was confirmed to run before: of two firmware that devices report alike, the one to go back to.
ALTER TABLE updates ADD COLUMN from_firmware_id text;

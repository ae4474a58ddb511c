-- Blue/green: devices that have staged a version and wait for the switch.
ALTER TABLE rollout_members ADD COLUMN staged boolean NOT NULL DEFAULT false;
ALTER TABLE campaign_progress ADD COLUMN staged bigint NOT NULL DEFAULT 0;

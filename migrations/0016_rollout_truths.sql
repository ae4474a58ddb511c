-- Why: facts apart from what is reckoned with. A wave opened when its event says so, while the clocks of its devices stand still during a
-- pause and begin again with a retry; a device that refused a cancel isn't asked again and again; and whether an update that had ended
-- came true all the same is judged by the versions that the device itself reports. The read model rollout is to be rebuilt.
ALTER TABLE campaign_progress ADD COLUMN waits_from timestamptz;
ALTER TABLE rollout_members ADD COLUMN cancel_refused boolean NOT NULL DEFAULT false;
ALTER TABLE rollout_devices ADD COLUMN sent jsonb NOT NULL DEFAULT '{}';

-- Why: an event that concerns all members of a campaign changes up to a million rows. They are changed page by page, each in a transaction of
-- its own, before the checkpoint moves past the event. What has been changed is kept here, so that a restart goes on from there.
ALTER TABLE projection_checkpoints ADD COLUMN sweep jsonb;

-- Why: who uploaded a firmware is shown. Rows from before have none until the read model is rebuilt. Lists are the newest first.
ALTER TABLE firmware ADD COLUMN created_by text;
CREATE INDEX firmware_newest ON firmware (tenant, created_at DESC, firmware_id DESC);

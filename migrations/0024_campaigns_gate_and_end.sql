-- Why: a campaign says when it really ends, what paused it, and whether the failures of its latest closed gate were accepted. The read model
-- campaigns is to be rebuilt.
ALTER TABLE campaigns ADD COLUMN ends_at timestamptz;
ALTER TABLE campaigns ADD COLUMN paused_by text;
ALTER TABLE campaigns ADD COLUMN gate_closed_at timestamptz;
ALTER TABLE campaigns ADD COLUMN gate_accepted boolean NOT NULL DEFAULT false;

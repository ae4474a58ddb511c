-- Why: a causation can be followed in the archive by the primary key of records. Older events name none, so nothing is to be rebuilt.
ALTER TABLE events ADD COLUMN causation_position bigint;

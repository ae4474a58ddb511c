-- Why: the broker counts messages anew when its store is made anew. Which message is the later one is told by store and number together.
ALTER TABLE device_presence ADD COLUMN broker_ms bigint NOT NULL DEFAULT 0;

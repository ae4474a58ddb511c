-- Where the device's message that a row was last taken from stands in the broker's order; 0: not known.
ALTER TABLE device_presence ADD COLUMN replaced_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE update_progress
    ADD COLUMN broker_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN delivery bigint NOT NULL DEFAULT 0;
ALTER TABLE telemetry_latest
    ADD COLUMN broker_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN delivery bigint NOT NULL DEFAULT 0;

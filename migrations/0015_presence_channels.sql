-- Why: a device's messages on different topics overtake one another on their way here. What a message says is held against the latest one
-- that spoke of the same (its session, its readings), not against the latest one at all.
ALTER TABLE device_presence
    ADD COLUMN status_delivery bigint NOT NULL DEFAULT 0,
    ADD COLUMN readings_delivery bigint NOT NULL DEFAULT 0;

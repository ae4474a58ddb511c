-- Why: one projector, `fleet`, with one checkpoint keeps the tables that six kept before. An older program must not write them beside it:
-- it finds its own checkpoints taken over, and then of a version that it doesn't know. Rows that are there serve until they are rebuilt.
ALTER TABLE projection_checkpoints ADD COLUMN retired boolean NOT NULL DEFAULT false;
INSERT INTO projection_checkpoints (name, version, position, incarnation_ms, caught_up_at)
SELECT 'fleet', 0, min(position), max(incarnation_ms), min(caught_up_at) FROM projection_checkpoints
WHERE name IN ('devices', 'device_firmware_history', 'firmware', 'updates', 'campaigns', 'rollout')
HAVING count(*) > 0;
UPDATE projection_checkpoints SET retired = true, version = 1000000, epoch = epoch + 1
WHERE name IN ('devices', 'device_firmware_history', 'firmware', 'updates', 'campaigns', 'rollout');
DELETE FROM parked_records
WHERE projection IN ('devices', 'device_firmware_history', 'firmware', 'updates', 'campaigns', 'rollout');

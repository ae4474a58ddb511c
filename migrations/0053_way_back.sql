-- Why: before a firmware is deleted, the devices that came from it are looked for. No column here changes after the update was queued, so
-- the index is written with new updates, and once more when they end.
CREATE INDEX updates_came_from ON updates (tenant, component, from_version, firmware_id, from_firmware_id)
    WHERE kind = 'update' AND from_version IS NOT NULL;

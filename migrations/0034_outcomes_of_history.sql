-- Why: an update has one entry in a device's firmware history, which says how the update ended.
ALTER TABLE device_firmware_history ADD COLUMN outcome text, ADD COLUMN outcome_at timestamptz;

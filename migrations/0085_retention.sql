-- Why: tenants set how long what isn't an event is kept. Rows are removed by tenant and age, so the indexes begin with the tenant. `oldest_at`: when
-- the oldest of a device's latest measurements came; null in rows of earlier versions, and without measurements.
CREATE INDEX update_logs_age ON update_logs (tenant, received_at);
DROP INDEX update_logs_received;
CREATE INDEX download_devices_age ON download_devices (tenant, day);
DROP INDEX download_devices_by_day;
ALTER TABLE telemetry_latest ADD COLUMN oldest_at timestamptz;

-- Why: a device with a LoRaWAN EUI and an application has a copy in its tenant's network server. Operators look for devices whose copy is not in
-- step, and the process that writes the copies finds them here after a restart. `network` is what the events say of the copy; `sync_state` follows
-- from it. An index per question: what is due, which devices an application has, and whose EUI it is.
ALTER TABLE devices ADD COLUMN join_eui text;
ALTER TABLE devices ADD COLUMN network jsonb;
ALTER TABLE devices ADD COLUMN sync_state text NOT NULL DEFAULT 'not_applicable';
CREATE INDEX devices_unsynced ON devices (tenant, sync_state, device_id) WHERE sync_state IN ('pending', 'failed');
CREATE INDEX devices_application ON devices (tenant, chirpstack_app_id, device_id) WHERE chirpstack_app_id IS NOT NULL;
CREATE INDEX devices_dev_eui ON devices (tenant, lorawan_dev_eui) WHERE lorawan_dev_eui IS NOT NULL;
CREATE INDEX devices_synced ON devices (tenant, chirpstack_app_id, lorawan_dev_eui) WHERE sync_state = 'synced';

-- Why: a caller may be limited to the devices that they own. No earlier event has an owner, so no row changes.
ALTER TABLE devices ADD COLUMN owner text;
CREATE INDEX devices_owner ON devices (tenant, owner, device_id) WHERE owner IS NOT NULL;

-- Why: what operators list and filter. The versions stand as JSON because components are open-ended; the firmware's has a column of its
-- own for filters.
CREATE TABLE devices (
    tenant text NOT NULL,
    device_id text NOT NULL,
    name text,
    device_type text,
    device_model text,
    manufacturer text,
    hardware_version text,
    firmware_version text,
    versions jsonb NOT NULL,
    tags jsonb NOT NULL,
    attributes jsonb NOT NULL,
    timezone text,
    contact_interval_s bigint,
    lorawan_dev_eui text,
    chirpstack_app_id text,
    device_profile_id text,
    transport text NOT NULL,
    lifecycle text NOT NULL,
    status text NOT NULL,
    held boolean NOT NULL,
    hold_until timestamptz,
    live_ordinal bigint,
    waiting jsonb NOT NULL,
    boot_slots bigint,
    version bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, device_id)
);
CREATE INDEX devices_type ON devices (tenant, device_type, device_id);
CREATE INDEX devices_model ON devices (tenant, device_model, device_id);
CREATE INDEX devices_firmware_version ON devices (tenant, firmware_version, device_id);
CREATE INDEX devices_status ON devices (tenant, status, device_id);
CREATE INDEX devices_live ON devices (tenant, device_id) WHERE live_ordinal IS NOT NULL;
CREATE INDEX devices_tags ON devices USING gin (tags jsonb_path_ops);
SELECT waybill_protect('devices');

-- One row each time that what a component runs, or is believed to run, changed.
CREATE TABLE device_firmware_history (
    tenant text NOT NULL,
    device_id text NOT NULL,
    position bigint NOT NULL,
    index bigint NOT NULL,
    at timestamptz NOT NULL,
    component text NOT NULL,
    from_version text,
    to_version text,
    cause text NOT NULL,
    ordinal bigint,
    campaign_id text,
    PRIMARY KEY (tenant, device_id, position, index)
);
SELECT waybill_protect('device_firmware_history');

-- What the history compares with: the versions that run, and what updates brought or tried to bring.
CREATE TABLE device_versions (
    tenant text NOT NULL,
    device_id text NOT NULL,
    versions jsonb NOT NULL,
    sent jsonb NOT NULL,
    PRIMARY KEY (tenant, device_id)
);
SELECT waybill_protect('device_versions');

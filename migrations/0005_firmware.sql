-- Why: firmware as operators list it, and which campaigns pin it.
CREATE TABLE firmware (
    tenant text NOT NULL,
    firmware_id text NOT NULL,
    status text NOT NULL,
    device_model text NOT NULL,
    manufacturer text,
    component text NOT NULL,
    version text NOT NULL,
    update_type text NOT NULL,
    is_beta boolean NOT NULL,
    is_security_update boolean NOT NULL,
    metadata jsonb NOT NULL,
    bytes jsonb NOT NULL,
    pinned_by jsonb NOT NULL,
    events bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, firmware_id)
);
CREATE INDEX firmware_model ON firmware (tenant, device_model, firmware_id);
SELECT waybill_protect('firmware');

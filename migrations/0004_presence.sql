-- Why: what is heard of devices without being an event. Filled from TELEMETRY, which forgets, so these rows aren't rebuilt from EVENTS.
CREATE TABLE device_presence (
    tenant text NOT NULL,
    device_id text NOT NULL,
    last_seen timestamptz NOT NULL,
    session text,
    will_at timestamptz,
    boot_id text,
    battery_level bigint,
    signal_strength bigint,
    external_power boolean,
    delivery bigint NOT NULL,
    PRIMARY KEY (tenant, device_id)
);
CREATE INDEX device_presence_will ON device_presence (will_at) WHERE will_at IS NOT NULL;
CREATE INDEX device_presence_last_seen ON device_presence (last_seen);
SELECT waybill_protect('device_presence');

CREATE TABLE update_progress (
    tenant text NOT NULL,
    device_id text NOT NULL,
    ordinal bigint NOT NULL,
    attempt bigint NOT NULL,
    progress bigint,
    bytes bigint,
    at timestamptz NOT NULL,
    PRIMARY KEY (tenant, device_id, ordinal)
);
SELECT waybill_protect('update_progress');

CREATE TABLE telemetry_latest (
    tenant text NOT NULL,
    device_id text NOT NULL,
    at timestamptz NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (tenant, device_id)
);
SELECT waybill_protect('telemetry_latest');

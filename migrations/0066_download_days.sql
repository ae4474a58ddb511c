-- Why: operators ask how many bytes were sent on a day, and which devices fetched a firmware. Added by flushes, like `download_counters`, and like
-- those no read model. Days are those of the flush, in UTC. A device has a row for each day on which it fetched something, for 400 days.
CREATE TABLE download_days (
    tenant text NOT NULL,
    firmware_id text NOT NULL,
    day date NOT NULL,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (tenant, firmware_id, day)
);
CREATE INDEX download_days_of_tenant ON download_days (tenant, day);
SELECT waybill_protect('download_days');

CREATE TABLE download_devices (
    tenant text NOT NULL,
    firmware_id text NOT NULL,
    device_id text NOT NULL, -- empty: by a link that was made for no device
    day date NOT NULL,
    started bigint NOT NULL,
    completed bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (tenant, firmware_id, device_id, day)
);
CREATE INDEX download_devices_by_day ON download_devices (day);
SELECT waybill_protect('download_devices');

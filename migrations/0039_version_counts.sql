-- Why: a filter by version compares each version that a tenant's devices run, and must not look at each device for them. Filled with the
-- projection `fleet`, which is rebuilt with this version.
CREATE TABLE device_version_counts (
    tenant text NOT NULL,
    component text NOT NULL,
    version text NOT NULL,
    active bigint NOT NULL,
    decommissioned bigint NOT NULL,
    PRIMARY KEY (tenant, component, version)
);
ALTER TABLE device_version_counts SET (fillfactor = 80);
SELECT waybill_protect('device_version_counts');

-- Why: a filter by version compares each version that a tenant's devices run, and must not look at each device for them. Filled from the
-- rows that there are, which serve until the projection `fleet` is rebuilt with this version.
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
INSERT INTO device_version_counts (tenant, component, version, active, decommissioned)
SELECT d.tenant, v.key, v.value, count(*) FILTER (WHERE d.lifecycle <> 'decommissioned'),
    count(*) FILTER (WHERE d.lifecycle = 'decommissioned')
FROM devices d, jsonb_each_text(d.versions) v
GROUP BY 1, 2, 3;

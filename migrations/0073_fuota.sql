-- Why: the process that sends images to LoRaWAN devices finds here what waits and what is under way, also after a restart; operators see what became
-- of each deployment and device. A device of a deployment is open while it has no outcome. The index over updates is small: only those whose image is
-- on its way. What ChirpStack says of device profiles stands beside, so that plans and previews need no call to ChirpStack.
CREATE TABLE lorawan_profiles (
    tenant text NOT NULL,
    profile_id text NOT NULL,
    region text,
    uplink_interval_s bigint NOT NULL,
    fragmentation boolean NOT NULL,
    multicast boolean NOT NULL,
    observed_at timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, profile_id)
);
SELECT waybill_protect('lorawan_profiles');

CREATE TABLE fuota_deployments (
    tenant text NOT NULL,
    deployment_id text NOT NULL,
    firmware_id text NOT NULL,
    application_id text NOT NULL,
    device_profile_id text NOT NULL,
    region text NOT NULL,
    class text NOT NULL,
    phase text NOT NULL,
    chirpstack_id text,
    reason text,
    devices bigint NOT NULL,
    delivered bigint NOT NULL,
    failed bigint NOT NULL,
    withdrawn bigint NOT NULL,
    planned_at timestamptz NOT NULL,
    created_at timestamptz, -- over there
    started_at timestamptz,
    ended_at timestamptz,
    removed_at timestamptz, -- over there
    position bigint NOT NULL,
    parameters jsonb NOT NULL,
    PRIMARY KEY (tenant, deployment_id)
);
CREATE INDEX fuota_deployments_live ON fuota_deployments (tenant, planned_at, deployment_id) WHERE removed_at IS NULL;
SELECT waybill_protect('fuota_deployments');

CREATE TABLE fuota_devices (
    tenant text NOT NULL,
    deployment_id text NOT NULL,
    device_id text NOT NULL,
    ordinal bigint NOT NULL,
    attempt bigint NOT NULL,
    campaign_id text,
    dev_eui text NOT NULL,
    outcome text,
    reason text,
    ended_at timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, deployment_id, device_id)
);
CREATE INDEX fuota_devices_of_device ON fuota_devices (tenant, device_id, ordinal);
CREATE INDEX fuota_devices_of_campaign ON fuota_devices (tenant, campaign_id, deployment_id) WHERE campaign_id IS NOT NULL;
SELECT waybill_protect('fuota_devices');

-- Which profiles the copies of devices have: one look for each profile, however many devices it has.
CREATE INDEX devices_copied_profile ON devices (tenant, (network #>> '{copy,device_profile_id}'))
    WHERE network #>> '{copy,device_profile_id}' IS NOT NULL;

CREATE INDEX updates_transferring ON updates (tenant, device_id, ordinal) WHERE open AND phase IN ('accepted', 'downloading');

//! `GET /campaigns/{id}/lorawan-deployments`: how the images of a campaign get to its LoRaWAN devices, and the forecast of that in previews.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::fuota::{Forecast, ForecastGroup};
use domain::lorawan::Parameters;
use projections::FLEET;
use projections::fuota::{DeploymentDeviceRow, DeploymentRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::get;
use crate::auth::Caller;
use crate::http::path::{CampaignDeploymentPath, CampaignPath};
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, PositionParams, Problem};
use crate::state::App;

/// LoRaWAN devices of a campaign that get an image together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "application_id": "fe0631ba-f18b-42ef-99f5-c9a37521a4b8", "device_profile_id": "5e440683-a2fe-486f-b62a-0ed2210681b6",
    "region": "EU868", "devices": 120, "deployments": 1, "fragments": 429, "redundant_fragments": 86, "fragment_bytes": 239, "expected_seconds": 3255,
}))]
pub(crate) struct LorawanGroup {
    application_id: Option<String>,
    device_profile_id: Option<String>,
    /// Null: the device profile has not been read from ChirpStack.
    #[schema(value_type = Option<String>)]
    region: Option<&'static str>,
    devices: u32,
    /// Deployments that these devices need, at most 250 devices in each.
    deployments: u32,
    /// Null, like the following: whole images can't be sent to these devices, or it is not known yet whether they can.
    fragments: Option<u32>,
    /// Sent beyond those of the image, to make up for lost ones.
    redundant_fragments: Option<u32>,
    fragment_bytes: Option<u16>,
    /// At most, from the first device that accepts the update until the image has arrived.
    expected_seconds: Option<u64>,
}

impl From<&ForecastGroup> for LorawanGroup {
    fn from(group: &ForecastGroup) -> Self {
        let parameter = |value: fn(&Parameters) -> u32| group.parameters.as_ref().map(value);
        Self {
            application_id: group.key.application_id.clone(),
            device_profile_id: group.key.device_profile_id.clone(),
            region: group.region.map(|region| region.word()),
            devices: group.devices,
            deployments: group.deployments,
            fragments: parameter(|parameters| parameters.fragments),
            redundant_fragments: parameter(|parameters| parameters.redundant),
            fragment_bytes: group.parameters.as_ref().map(|parameters| parameters.fragment_bytes),
            expected_seconds: group.seconds,
        }
    }
}

/// How the image gets to the LoRaWAN devices that take part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LorawanForecast {
    devices: u32,
    /// The longest of the groups: they are sent at the same time. Null if none is known.
    expected_seconds: Option<u64>,
    /// By application and device profile.
    groups: Vec<LorawanGroup>,
}

impl LorawanForecast {
    /// None without LoRaWAN devices.
    pub(super) fn of(forecast: &Forecast) -> Option<Self> {
        (forecast.devices > 0).then(|| Self {
            devices: forecast.devices,
            expected_seconds: forecast.longest_s(),
            groups: forecast.groups.iter().map(LorawanGroup::from).collect(),
        })
    }
}

/// A deployment of an image to LoRaWAN devices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "deployment_id": "5b0c1c86-0f4e-5d2b-8f8e-6a2f4c1f9d10", "firmware_id": "0d6f3a0e-6f1c-5b7e-9f5a-3c9d3f6f1a01",
    "application_id": "fe0631ba-f18b-42ef-99f5-c9a37521a4b8", "device_profile_id": "5e440683-a2fe-486f-b62a-0ed2210681b6", "region": "EU868",
    "class": "C", "phase": "started", "reason": null, "chirpstack_id": "b4d0f6e2-4a0b-4c53-8f6e-1f2f4f7f6a10", "devices": 120, "delivered": 0,
    "failed": 0, "withdrawn": 0, "fragments": 429, "redundant_fragments": 86, "fragment_bytes": 239, "planned_at": "2030-03-07T22:14:09Z",
    "created_at": "2030-03-07T22:14:09Z", "started_at": "2030-03-07T22:14:10Z", "expected_end_at": "2030-03-07T23:04:10Z", "ended_at": null, "removed_at": null,
}))]
pub(crate) struct LorawanDeployment {
    deployment_id: String,
    firmware_id: String,
    application_id: String,
    device_profile_id: String,
    region: &'static str,
    class: &'static str,
    /// `planned`, `created` (in ChirpStack), `started`, `completed` (ended for every device) or `aborted`.
    phase: &'static str,
    /// Why it was aborted.
    reason: Option<String>,
    /// Its id in ChirpStack.
    chirpstack_id: Option<String>,
    /// Also those of other campaigns with the same firmware.
    devices: u32,
    delivered: u32,
    failed: u32,
    withdrawn: u32,
    fragments: u32,
    redundant_fragments: u32,
    fragment_bytes: u16,
    planned_at: DateTime<Utc>,
    created_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    /// At most, if ChirpStack is up.
    expected_end_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// When it was deleted in ChirpStack, with its multicast group.
    removed_at: Option<DateTime<Utc>>,
}

impl From<DeploymentRow> for LorawanDeployment {
    fn from(row: DeploymentRow) -> Self {
        let duration = TimeDelta::seconds(i64::try_from(row.parameters.duration_s()).unwrap_or_default());
        Self {
            region: row.region.word(),
            class: row.class.word(),
            phase: row.phase.word(),
            reason: row.reason,
            chirpstack_id: row.chirpstack_id,
            devices: row.devices,
            delivered: row.delivered,
            failed: row.failed,
            withdrawn: row.withdrawn,
            fragments: row.parameters.fragments,
            redundant_fragments: row.parameters.redundant,
            fragment_bytes: row.parameters.fragment_bytes,
            planned_at: row.planned_at,
            created_at: row.created_at,
            started_at: row.started_at,
            expected_end_at: row.started_at.filter(|_| row.ended_at.is_none()).map(|at| at + duration),
            ended_at: row.ended_at,
            removed_at: row.removed_at,
            deployment_id: row.deployment_id,
            firmware_id: row.firmware_id,
            application_id: row.application_id,
            device_profile_id: row.device_profile_id,
        }
    }
}

/// A device of a deployment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "device_id": "valve-7", "update_id": "valve-7~3", "attempt": 1, "dev_eui": "0101010101010101", "outcome": "failed",
    "reason": "FragStatusReq timeout.", "ended_at": "2030-03-07T23:01:40Z",
}))]
pub(crate) struct LorawanDeploymentDevice {
    device_id: String,
    update_id: String,
    attempt: u16,
    dev_eui: String,
    /// `delivered` (all fragments arrived; the device has not confirmed the version by that), `failed` or `withdrawn`; null: under way.
    #[schema(value_type = Option<String>)]
    outcome: Option<&'static str>,
    /// Of `failed`: what ChirpStack says.
    reason: Option<String>,
    ended_at: Option<DateTime<Utc>>,
}

impl From<DeploymentDeviceRow> for LorawanDeploymentDevice {
    fn from(row: DeploymentDeviceRow) -> Self {
        Self {
            update_id: format!("{}~{}", row.device_id, row.ordinal),
            device_id: row.device_id,
            attempt: row.attempt,
            dev_eui: row.dev_eui,
            outcome: row.outcome.map(|outcome| outcome.word()),
            reason: row.reason,
            ended_at: row.ended_at,
        }
    }
}

/// A deployment with the devices that the campaign has in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LorawanDeploymentDetails {
    #[serde(flatten)]
    deployment: LorawanDeployment,
    /// At most 250, by id.
    campaign_devices: Vec<LorawanDeploymentDevice>,
}

/// List the deployments to a campaign's LoRaWAN devices
///
/// FUOTA deployments in ChirpStack, by which the image gets to groups of its devices. The newest first.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/lorawan-deployments", tag = "campaigns", params(CampaignPath, PageParams),
    responses((status = 200, body = List<LorawanDeployment>))
)]
pub(crate) async fn campaign_lorawan_deployments(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<LorawanDeployment>>, Problem> {
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let after = paging.keys::<2>()?.map(|[planned_at, id]| (planned_at, id));
    let (mut tx, campaign) = get::row(&app, &caller, path.campaign_id, &[FLEET]).await?;
    let id = campaign.campaign_id.as_str();
    let page = projections::fuota::of_campaign(&mut tx, id, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, LorawanDeployment::from)))
}

/// Get a deployment to a campaign's LoRaWAN devices
///
/// With the outcome of each device that the campaign has in it. 404 if it has none.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/lorawan-deployments/{deployment_id}", tag = "campaigns",
    params(CampaignDeploymentPath, PositionParams),
    responses((status = 200, body = LorawanDeploymentDetails))
)]
pub(crate) async fn campaign_lorawan_deployment(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignDeploymentPath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
) -> Result<Json<LorawanDeploymentDetails>, Problem> {
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let (mut tx, campaign) = get::row(&app, &caller, path.campaign_id, &[FLEET]).await?;
    let (id, deployment_id) = (campaign.campaign_id.as_str(), path.deployment_id.to_string());
    let found = projections::fuota::with_devices(&mut tx, id, &deployment_id).await?;
    let Some((row, devices)) = found else {
        return Err(Problem::not_found("the campaign has no devices in such a deployment"));
    };
    let campaign_devices = devices.into_iter().map(LorawanDeploymentDevice::from).collect();
    Ok(Json(LorawanDeploymentDetails { deployment: row.into(), campaign_devices }))
}

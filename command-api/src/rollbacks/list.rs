//! `GET /rollbacks` and `GET /devices/{id}/rollbacks`: who took which device back, why, and what became of it.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::device::Device;
use domain::{CampaignId, DeviceId, Key};
use projections::FLEET;
use projections::rollbacks::{RollbackFilter, RollbackRow};
use projections::updates::UpdateRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::devices::find;
use crate::http::path::DevicePath;
use crate::http::{FilterSet, Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem, ReadOfOne};
use crate::legacy_status::{StatusNames, status_names};
use crate::state::App;

/// A rollback of one device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RollbackBody {
    /// Its update.
    #[schema(example = "d-1~18")]
    update_id: String,
    device_id: String,
    ordinal: u32,
    #[serde(flatten)]
    names: StatusNames,
    component: String,
    /// What the device ran when the rollback was requested.
    from_version: Option<String>,
    to_version: String,
    /// The firmware that it goes back to.
    firmware_id: String,
    /// Of the campaign that is rolled back.
    campaign_id: Option<String>,
    /// The update that it undoes, if one brought the version that ran.
    rolls_back: Option<String>,
    /// `manual`, or `automatic`: a gate began it.
    #[schema(example = "manual")]
    mode: &'static str,
    requested_by: String,
    reason: Option<String>,
    requested_at: DateTime<Utc>,
    /// How it ended; null while it is under way.
    outcome: Option<&'static str>,
    code: Option<String>,
    ended_at: Option<DateTime<Utc>>,
}

impl RollbackBody {
    fn of((row, update): (RollbackRow, UpdateRow)) -> Self {
        let id = |ordinal| format!("{}~{ordinal}", row.device_id);
        let phase = update.timed.phase();
        Self {
            update_id: id(row.ordinal),
            ordinal: row.ordinal,
            names: status_names(phase.word(), update.kind.word()),
            component: row.component,
            from_version: row.from_version,
            to_version: row.to_version,
            firmware_id: row.firmware_id,
            campaign_id: row.campaign_id,
            rolls_back: row.rolls_back.map(id),
            mode: if row.automatic { "automatic" } else { "manual" },
            requested_by: row.requested_by,
            reason: row.reason,
            requested_at: row.requested_at,
            outcome: phase.is_ended().then(|| phase.word()),
            code: update.timed.state.code,
            ended_at: update.timed.ended_at,
            device_id: row.device_id,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackFilters {
    device_id: Option<String>,
    campaign_id: Option<String>,
    /// `manual` or `automatic`.
    mode: Option<String>,
}

impl FilterSet for RollbackFilters {}

impl RollbackFilters {
    fn into_filter(self) -> Result<RollbackFilter, Problem> {
        let invalid = |name: &str| Problem::bad_request(format!("{name} is not a valid id"));
        let device = self.device_id.map(|id| id.parse::<DeviceId>()).transpose();
        let campaign = self.campaign_id.map(|id| id.parse::<CampaignId>()).transpose();
        Ok(RollbackFilter {
            device_id: device.map_err(|_| invalid("device_id"))?.map(|id| id.to_string()),
            campaign_id: campaign.map_err(|_| invalid("campaign_id"))?.map(|id| id.to_string()),
            automatic: match self.mode.as_deref() {
                None => None,
                Some("manual") => Some(false),
                Some("automatic") => Some(true),
                Some(_) => return Err(Problem::bad_request("mode is one of manual, automatic")),
            },
        })
    }
}

/// List rollbacks
///
/// Newest first.
#[utoipa::path(
    get, path = "/rollbacks", tag = "rollbacks", params(RollbackFilters, PageParams),
    responses((status = 200, body = List<RollbackBody>))
)]
pub(crate) async fn list_rollbacks(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<RollbackFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<RollbackBody>>, Problem> {
    let filter = filters.into_filter()?;
    min_position.wait(&app, &caller, &[FLEET]).await?;
    page(&app, &caller, &filter, &paging).await.map(Json)
}

/// List a device's rollbacks
///
/// Newest first.
#[utoipa::path(
    get, path = "/devices/{device_id}/rollbacks", tag = "rollbacks", params(DevicePath, PageParams),
    responses((status = 200, body = List<RollbackBody>))
)]
pub(crate) async fn list_device_rollbacks(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<RollbackBody>>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let id = path.device_id.as_str();
    drop(find(&app, &caller, reading, id).await?);
    let filter = RollbackFilter { device_id: Some(id.to_owned()), ..RollbackFilter::default() };
    page(&app, &caller, &filter, &paging).await.map(Json)
}

async fn page(
    app: &App,
    caller: &Caller,
    filter: &RollbackFilter,
    paging: &Paging,
) -> Result<List<RollbackBody>, Problem> {
    let after = match paging.keys::<3>()? {
        Some([requested_at, device, ordinal]) => Some((Paging::time(requested_at)?, device, Paging::number(ordinal)?)),
        None => None,
    };
    let after = after.as_ref().map(|(requested_at, device, ordinal)| (requested_at.as_str(), *device, *ordinal));
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::rollbacks::list(&mut tx, filter, after, paging.limit, paging.count).await?;
    Ok(paging.list(page, RollbackBody::of))
}

//! `GET /devices/{id}/updates` and `GET /devices/{id}/ota/status`: the updates of one device.

use axum::Json;
use axum::extract::State;
use domain::Key;
use domain::device::Device;
use projections::FLEET;
use projections::updates::UpdateFilter;
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::list::page;
use super::model::UpdateBody;
use crate::auth::Caller;
use crate::devices::find;
use crate::http::path::DevicePath;
use crate::http::{
    Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, PositionParams, Problem, ReadOfOne,
};
use crate::state::App;

/// List a device's updates
///
/// Newest first.
#[utoipa::path(
    get, path = "/devices/{device_id}/updates", tag = "updates", params(DevicePath, PageParams),
    responses((status = 200, body = List<UpdateBody>))
)]
pub(crate) async fn list_device_updates(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<UpdateBody>>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let id = path.device_id.as_str();
    drop(find(&app, &caller, ReadOfOne::waited(&app, &[FLEET], &key), id).await?);
    let filter = UpdateFilter { device_id: Some(id.to_owned()), ..UpdateFilter::default() };
    page(&app, &caller, &filter, &paging).await.map(Json)
}

/// A device's update status.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OtaStatus {
    device_id: String,
    /// `online`, `offline` or `never_seen`.
    device_status: String,
    firmware_version: Option<String>,
    /// The update under way, otherwise the one requested last.
    update: Option<UpdateBody>,
}

/// Get a device's update status
#[utoipa::path(
    get, path = "/devices/{device_id}/ota/status", tag = "updates", params(DevicePath, PositionParams),
    responses((status = 200, body = OtaStatus))
)]
pub(crate) async fn ota_status(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    min_position: MinPosition,
) -> Result<Json<OtaStatus>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let reading = ReadOfOne::waited(&app, &[FLEET], &key);
    let (mut tx, view) = find(&app, &caller, reading, path.device_id.as_str()).await?;
    let device = view.row;
    let (device_id, ordinal) = (Some(device.device_id.clone()), device.live_ordinal);
    let filter = UpdateFilter { device_id, ordinal, ..UpdateFilter::default() };
    let page = projections::updates::list(&mut tx, &filter, clock::now(), None, 1, false).await?;
    Ok(Json(OtaStatus {
        device_id: device.device_id,
        device_status: device.status.word().to_owned(),
        firmware_version: device.firmware_version,
        update: page.items.into_iter().next().map(UpdateBody::from),
    }))
}

//! `GET /devices/{id}/history`: all events of a device, from EVENTS.

use axum::Json;
use axum::extract::State;
use domain::Key;
use domain::device::Device;

use crate::auth::Caller;
use crate::http::history::{self, HistoryItem};
use crate::http::path::DevicePath;
use crate::http::{Filters, HistoryOrder, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

/// List a device's events
///
/// Oldest first unless `order=desc`, with actors and reasons.
#[utoipa::path(
    get, path = "/devices/{device_id}/history", tag = "devices", params(DevicePath, HistoryOrder, PageParams),
    responses((status = 200, body = List<HistoryItem>))
)]
pub(crate) async fn device_history(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(order): Filters<HistoryOrder>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<HistoryItem>>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    history::page(&app, &key, min_position, order, &paging, "no such device").await.map(Json)
}

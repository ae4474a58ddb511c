//! `GET /firmware/{id}/history`: all events of a firmware, from EVENTS.

use axum::Json;
use axum::extract::State;
use domain::Key;
use domain::firmware::Firmware;

use crate::auth::Caller;
use crate::http::history::{self, HistoryItem};
use crate::http::path::FirmwarePath;
use crate::http::{Filters, HistoryOrder, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

/// List a firmware's events
///
/// Oldest first unless `order=desc`, with actors and reasons.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/history", tag = "firmware", params(FirmwarePath, HistoryOrder, PageParams),
    responses((status = 200, body = List<HistoryItem>))
)]
pub(crate) async fn firmware_events(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    Filters(order): Filters<HistoryOrder>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<HistoryItem>>, Problem> {
    let key = Key::<Firmware>::new(&caller.tenant, &path.firmware_id);
    history::page(&app, &key, min_position, order, &paging, "no such firmware").await.map(Json)
}

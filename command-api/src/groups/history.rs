//! `GET /groups/{id}/history`: all events of a group, from EVENTS.

use axum::Json;
use axum::extract::State;
use domain::Key;
use domain::group::Group;

use super::get::UNKNOWN;
use crate::auth::Caller;
use crate::http::history::{self, HistoryItem};
use crate::http::path::GroupPath;
use crate::http::{Filters, HistoryOrder, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

/// List a group's events
///
/// Oldest first unless `order=desc`, with actors and reasons. A change of members names up to 5,000 devices.
#[utoipa::path(
    get, path = "/groups/{group_id}/history", tag = "groups", params(GroupPath, HistoryOrder, PageParams),
    responses((status = 200, body = List<HistoryItem>))
)]
pub(crate) async fn group_history(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<GroupPath>,
    Filters(order): Filters<HistoryOrder>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<HistoryItem>>, Problem> {
    let key = Key::<Group>::new(&caller.tenant, &path.group_id);
    history::page(&app, &key, min_position, order, &paging, UNKNOWN).await.map(Json)
}

//! `GET /campaigns/{id}/history`: all events of a campaign, from EVENTS.

use axum::Json;
use axum::extract::State;
use domain::Key;
use domain::campaign::Campaign;

use crate::auth::Caller;
use crate::http::history::{self, HistoryItem};
use crate::http::path::CampaignPath;
use crate::http::{Filters, HistoryOrder, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

/// List a campaign's events
///
/// Oldest first unless `order=desc`, with actors and reasons, and the evidence of its gates.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/history", tag = "campaigns", params(CampaignPath, HistoryOrder, PageParams),
    responses((status = 200, body = List<HistoryItem>))
)]
pub(crate) async fn campaign_history(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(order): Filters<HistoryOrder>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<HistoryItem>>, Problem> {
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    history::page(&app, &key, min_position, order, &paging, "no such campaign").await.map(Json)
}

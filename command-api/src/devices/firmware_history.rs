//! `GET /devices/{id}/firmware-history`: what a device ran, since when and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::history::HistoryRow;
use projections::{DEVICES, HISTORY};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Viewer;
use crate::http::path::DevicePath;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem};
use crate::state::App;

/// A change of what a component runs, or is believed to run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FirmwareHistoryItem {
    at: DateTime<Utc>,
    component: String,
    from_version: Option<String>,
    to_version: Option<String>,
    /// What brought it about; more may come. `registered`; `operator`: stated by an operator; `reported`: by the device, without an update;
    /// `unconfirmed`: by an update whose outcome isn't known yet or wasn't `confirmed`; `confirmed`: by an update; `late`: by an update that
    /// had ended without it; `fell_back`: away from an update's version that was never confirmed; `regressed`: away from a confirmed one.
    #[schema(example = "confirmed")]
    cause: String,
    /// How the update that caused it ended, or `fell_back`; null while it is under way.
    outcome: Option<String>,
    /// When the outcome became known.
    outcome_at: Option<DateTime<Utc>>,
    update_id: Option<String>,
    campaign_id: Option<String>,
    /// `{sequence in the log}-{index in its record}`
    position: String,
}

impl From<HistoryRow> for FirmwareHistoryItem {
    fn from(row: HistoryRow) -> Self {
        Self {
            at: row.at,
            component: row.component,
            from_version: row.from_version,
            to_version: row.to_version,
            cause: row.cause,
            outcome: row.outcome,
            outcome_at: row.outcome_at,
            update_id: row.ordinal.map(|ordinal| format!("{}~{ordinal}", row.device_id)),
            campaign_id: row.campaign_id,
            position: format!("{}-{}", row.position, row.index),
        }
    }
}

/// List what a device ran
///
/// Oldest first. Needs role viewer.
#[utoipa::path(
    get, path = "/devices/{device_id}/firmware-history", tag = "devices", params(DevicePath, PageParams),
    responses((status = 200, body = List<FirmwareHistoryItem>))
)]
pub(crate) async fn firmware_history(
    State(app): State<App>,
    Viewer(caller): Viewer,
    Path(path): Path<DevicePath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<FirmwareHistoryItem>>, Problem> {
    min_position.wait(&app, &caller, &[HISTORY, DEVICES]).await?;
    let after = match paging.keys::<2>()? {
        Some([position, index]) => Some((Paging::number(position)?, Paging::number(index)?)),
        None => None,
    };
    let mut tx = app.db.read(&caller.tenant).await?;
    let id = path.device_id.as_str();
    if projections::devices::get(&mut tx, &caller.tenant, id).await?.is_none() {
        return Err(Problem::not_found("no such device"));
    }
    let page = projections::history::list(&mut tx, id, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, FirmwareHistoryItem::from)))
}

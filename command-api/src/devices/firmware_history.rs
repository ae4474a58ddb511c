//! `GET /devices/{id}/firmware-history`: what a device ran, since when and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Key;
use domain::device::Device;
use event_store::{EventToken, Position};
use projections::FLEET;
use projections::history::HistoryRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::reading::find;
use crate::auth::Caller;
use crate::http::path::DevicePath;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem, ReadOfOne};
use crate::state::App;

/// A change of what a component runs, as far as is known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FirmwareHistoryItem {
    at: DateTime<Utc>,
    component: String,
    from_version: Option<String>,
    to_version: Option<String>,
    /// The cause; more may be added. `registered`; `operator`: set by an operator; `reported`: by the device, without an update;
    /// `unconfirmed`: by an update whose outcome is not known yet or wasn't `confirmed`; `confirmed`: by an update; `late`: by an update
    /// that had ended without it; `fell_back`: away from an update's version that was never confirmed; `regressed`: away from a confirmed
    /// one.
    #[schema(example = "confirmed")]
    cause: String,
    /// How the update that caused it ended, or `fell_back`; null while it is under way.
    outcome: Option<String>,
    /// When the outcome became known.
    outcome_at: Option<DateTime<Utc>>,
    update_id: Option<String>,
    campaign_id: Option<String>,
    /// `{created_ms of the log}-{sequence}.{index in its record}`
    #[schema(example = "1790000000123-42.0")]
    position: String,
}

impl FirmwareHistoryItem {
    fn of(row: HistoryRow, incarnation_ms: u64) -> Self {
        let position = Position { sequence: row.position, index: u16::try_from(row.index).unwrap_or(u16::MAX) };
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
            position: EventToken { incarnation_ms, position }.to_string(),
        }
    }
}

/// List what a device ran
///
/// Oldest first.
#[utoipa::path(
    get, path = "/devices/{device_id}/firmware-history", tag = "devices", params(DevicePath, PageParams),
    responses((status = 200, body = List<FirmwareHistoryItem>))
)]
pub(crate) async fn firmware_history(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<FirmwareHistoryItem>>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let after = match paging.keys::<2>()? {
        Some([position, index]) => Some((Paging::number(position)?, Paging::number(index)?)),
        None => None,
    };
    let id = path.device_id.as_str();
    let (mut tx, _) = find(&app, &caller, reading, id).await?;
    let page = projections::history::list(&mut tx, id, after, paging.limit, paging.count).await?;
    let incarnation_ms = app.incarnation_ms().await?;
    Ok(Json(paging.list(page, |row| FirmwareHistoryItem::of(row, incarnation_ms))))
}

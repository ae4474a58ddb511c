//! `GET /devices/{id}/firmware-history`: what a device ran, since when and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::device::Device;
use domain::values::{is_component, is_usable_time};
use domain::{CampaignId, Key};
use event_store::{EventToken, Position};
use projections::FLEET;
use projections::history::{CAUSES, HistoryFilter, HistoryRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::reading::find;
use crate::auth::Caller;
use crate::http::path::DevicePath;
use crate::http::query::refused;
use crate::http::{Direction, FilterSet, Filters, List, MinPosition, PageParams, Paging, Path, Problem, ReadOfOne};
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

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryFilters {
    /// Changes of this component.
    #[param(example = "firmware")]
    component: Option<String>,
    /// Changes with this cause.
    #[param(example = "confirmed")]
    cause: Option<String>,
    /// Changes by updates of this campaign.
    campaign_id: Option<Uuid>,
    /// At this time or later.
    from: Option<DateTime<Utc>>,
    /// Before this time.
    to: Option<DateTime<Utc>>,
    /// `asc` (the default): oldest first. `desc`: newest first.
    #[param(inline)]
    order: Option<Direction>,
}

impl FilterSet for HistoryFilters {}

impl HistoryFilters {
    fn into_filter(self) -> Result<HistoryFilter, Problem> {
        if self.component.as_deref().is_some_and(|component| !is_component(component)) {
            return Err(refused("component", "is not a component's name"));
        }
        if self.cause.as_deref().is_some_and(|cause| !CAUSES.contains(&cause)) {
            return Err(refused("cause", &format!("is one of {}", CAUSES.join(", "))));
        }
        for (name, time) in [("from", self.from), ("to", self.to)] {
            if time.is_some_and(|time| !is_usable_time(time)) {
                return Err(refused(name, "is too far away"));
            }
        }
        Ok(HistoryFilter {
            component: self.component,
            cause: self.cause,
            campaign_id: self.campaign_id.map(|id| CampaignId(id).to_string()),
            from: self.from,
            to: self.to,
            newest_first: self.order == Some(Direction::Desc),
        })
    }
}

/// List what a device ran
///
/// Oldest first, unless `order=desc`.
#[utoipa::path(
    get, path = "/devices/{device_id}/firmware-history", tag = "devices", params(DevicePath, HistoryFilters, PageParams),
    responses((status = 200, body = List<FirmwareHistoryItem>))
)]
pub(crate) async fn firmware_history(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(filters): Filters<HistoryFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<FirmwareHistoryItem>>, Problem> {
    let filter = filters.into_filter()?;
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let after = match paging.keys::<2>()? {
        Some([position, index]) => Some((Paging::number(position)?, Paging::number(index)?)),
        None => None,
    };
    let id = path.device_id.as_str();
    let (mut tx, _) = find(&app, &caller, reading, id).await?;
    let page = projections::history::list(&mut tx, id, &filter, after, paging.limit, paging.count).await?;
    let incarnation_ms = app.incarnation_ms().await?;
    Ok(Json(paging.list(page, |row| FirmwareHistoryItem::of(row, incarnation_ms))))
}

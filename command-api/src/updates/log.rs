//! `GET /devices/{id}/updates/{ordinal}/log`: what the device has logged during an update.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Key;
use domain::device::Device;
use domain::tenant::Kept;
use projections::FLEET;
use projections::update_logs::{self, LogPieceRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::get::find_of_device;
use crate::auth::Caller;
use crate::http::path::DeviceUpdatePath;
use crate::http::problem::ProblemBody;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem};
use crate::state::App;

/// A piece of the log of an update.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogPieceBody {
    /// When Waybill received it.
    received_at: DateTime<Utc>,
    /// At most 16 KiB. Bytes that aren't UTF-8, and control characters except tab and line ends, are U+FFFD.
    text: String,
}

impl From<LogPieceRow> for LogPieceBody {
    fn from(row: LogPieceRow) -> Self {
        Self { received_at: row.received_at, text: row.text }
    }
}

/// Read the log of an update
///
/// The pieces that the device has sent, in the order in which they arrived: the latest 64 of the last 30 days, or of as many as the tenant
/// has set (`retention.update_log_days`). The text is the device's own.
#[utoipa::path(
    get, path = "/devices/{device_id}/updates/{ordinal}/log", tag = "updates", params(DeviceUpdatePath, PageParams),
    responses(
        (status = 200, body = List<LogPieceBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_log(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DeviceUpdatePath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<LogPieceBody>>, Problem> {
    let after =
        paging.keys::<1>()?.map(|[piece]| Paging::number::<i64>(piece)).transpose()?.map(|piece| piece.max(0) as u64);
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let (mut tx, _) = find_of_device(&app, &caller, &key, &path.device_id, path.ordinal).await?;
    let id = path.device_id.as_str();
    let since = app.tenants.kept_since(&caller.tenant, Kept::UpdateLogs).await?;
    let page = update_logs::list(&mut tx, id, path.ordinal, since, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, LogPieceBody::from)))
}

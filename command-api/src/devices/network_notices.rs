//! `GET /devices/{id}/network-notices`: what the network server reported about a device: logs, errors and joins.
//!
//! They are read from the stream of telemetry, which forgets after seven days.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Key;
use domain::device::Device;
use domain::tenant::Kept;
use event_store::telemetry::{PageStart, TelemetryKind, TelemetryMessage, TelemetryRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem};
use crate::state::App;

/// A notice of the network server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoticeBody {
    /// When it arrived.
    at: DateTime<Utc>,
    /// When the network server says that it happened; null if it doesn't.
    network_time: Option<DateTime<Utc>>,
    /// `info`, `warning` or `error`.
    #[schema(example = "error")]
    level: String,
    /// In ChirpStack's words, such as `UPLINK_CODEC`, `DOWNLINK_GATEWAY`, `OTAA`; `JOINED` after a join.
    #[schema(example = "UPLINK_CODEC")]
    code: String,
    description: String,
    /// Details, by name; null if there are none.
    #[schema(value_type = Option<Object>)]
    context: Option<serde_json::Value>,
}

/// The data of a notice in telemetry.
#[derive(Debug, Deserialize)]
struct Notice {
    level: String,
    code: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    context: Option<serde_json::Value>,
}

/// List what the network server said about a device
///
/// Logs and errors of ChirpStack, such as a codec that fails, a downlink that was dropped or a gateway that could not send, and joins; oldest
/// first, of the last seven days, or of as many as the tenant has set (`retention.telemetry_days`), at a limited rate. A page can have fewer items than asked for, or none, and still a `next_cursor`: at most
/// 2,000 messages of the device are looked at for one page.
#[utoipa::path(
    get, path = "/devices/{device_id}/network-notices", tag = "lorawan", params(DevicePath, PageParams),
    responses(
        (status = 200, body = List<NoticeBody>),
        (status = 400, description = "A cursor is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such device", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn device_network_notices(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(NoFilters {}): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<NoticeBody>>, Problem> {
    if paging.count {
        return Err(refused("count", "notices aren't counted"));
    }
    let after = paging.keys::<1>()?.map(|[sequence]| Paging::number::<i64>(sequence)).transpose()?;
    min_position.of_this_log(&app).await?;
    let (tenant, device) = (&caller.tenant, &path.device_id);
    if app.store.load(&Key::<Device>::new(tenant, device)).await?.version == 0 {
        return Err(Problem::not_found("no such device"));
    }
    let telemetry = app.telemetry.as_ref();
    let telemetry = telemetry.ok_or_else(|| Problem::unavailable("event_log_unavailable", "notices can't be read"))?;
    let kept_since = app.tenants.kept_since(tenant, Kept::Telemetry).await?;
    let begin = match after {
        Some(sequence) => PageStart::After(sequence.max(0) as u64),
        None => PageStart::Time(kept_since),
    };
    let wanted =
        |_: &TelemetryMessage, record: TelemetryRecord| notice(record).filter(|notice| notice.at >= kept_since);
    let page = telemetry.page(tenant, device, begin, None, paging.limit, wanted).await?;
    Ok(Json(paging.keyed(page.items, page.next.map(|next| vec![next.to_string()]))))
}

fn notice(record: TelemetryRecord) -> Option<NoticeBody> {
    if record.kind != TelemetryKind::Notice {
        return None;
    }
    let Notice { level, code, description, context } = serde_json::from_str(record.data.get()).ok()?;
    Some(NoticeBody { at: record.received_at, network_time: record.device_time, level, code, description, context })
}

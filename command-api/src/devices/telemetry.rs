//! `GET /devices/{id}/telemetry`: what a device measured, the latest by name and over time.
//!
//! The latest values are a read model. Over time they are read from the stream of telemetry itself, which forgets after seven days.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::Key;
use domain::device::Device;
use domain::tenant::Kept;
use domain::values::is_usable_time;
use event_store::telemetry::{PageStart, TelemetryKind, TelemetryMessage, TelemetryRecord};
use projections::presence::readings::{Reading, latest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

/// How much later than it arrived a message may be stored and still be found by `to`.
const STORED_LATE_MAX: TimeDelta = TimeDelta::minutes(5);
/// Longest name that is looked for, in bytes.
const NAME_MAX_BYTES: usize = 128;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetryParams {
    /// Only what arrived at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only what arrived at this time or before.
    to: Option<DateTime<Utc>>,
    /// Only the measurement of this name: a field of the device's messages.
    #[param(example = "temperature")]
    name: Option<String>,
}

impl FilterSet for TelemetryParams {}

/// A measurement and when it arrived.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadingBody {
    #[schema(value_type = Object)]
    value: Value,
    at: DateTime<Utc>,
}

/// A message with measurements.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeasurementBody {
    /// When it arrived.
    at: DateTime<Utc>,
    /// Time according to the device; null if it said none.
    device_time: Option<DateTime<Utc>>,
    /// Its fields; with `name` only that one.
    #[schema(value_type = Object)]
    data: Value,
}

/// What a device measured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TelemetryBody {
    /// The latest value of each name, at most 64; with `name` only that one. Values that are longer than 1,024 bytes are only in `items`.
    latest: BTreeMap<String, ReadingBody>,
    #[serde(flatten)]
    page: List<MeasurementBody>,
}

/// List a device's telemetry
///
/// `latest` has the latest value of each measurement, `items` the messages that are still kept, oldest first: seven days, or as
/// many as the tenant has set (`retention.telemetry_days`, which holds for `latest`, too). A page can have fewer items
/// than asked for, or none, and still a `next_cursor`: at most 2,000 messages of the device are looked at for one page. Without any data the answer is
/// an empty page.
#[utoipa::path(
    get, path = "/devices/{device_id}/telemetry", tag = "devices", params(DevicePath, TelemetryParams, PageParams),
    responses(
        (status = 200, body = TelemetryBody),
        (status = 400, description = "A filter or a cursor is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such device", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn device_telemetry(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(params): Filters<TelemetryParams>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<TelemetryBody>, Problem> {
    let TelemetryParams { from, to, name } = params;
    if paging.count {
        return Err(refused("count", "telemetry isn't counted"));
    }
    for (name, time) in [("from", from), ("to", to)] {
        if time.is_some_and(|time| !is_usable_time(time)) {
            return Err(refused(name, "is too far away"));
        }
    }
    if name.as_deref().is_some_and(|name| name.is_empty() || name.len() > NAME_MAX_BYTES) {
        return Err(refused("name", &format!("has 1 to {NAME_MAX_BYTES} bytes")));
    }
    let after = paging.keys::<1>()?.map(|[sequence]| Paging::number::<i64>(sequence)).transpose()?;
    min_position.of_this_log(&app).await?;
    let (tenant, device) = (&caller.tenant, &path.device_id);
    if app.store.load(&Key::<Device>::new(tenant, device)).await?.version == 0 {
        return Err(Problem::not_found("no such device"));
    }
    let kept_since = app.tenants.set_to_keep_since(tenant, Kept::Telemetry).await?;
    let from = from.max(kept_since);
    let begin = match after {
        Some(sequence) => PageStart::After(sequence.max(0) as u64),
        None => from.map_or(PageStart::After(0), PageStart::Time),
    };
    let mut tx = app.db.read(tenant).await?;
    let readings = latest(&mut tx, device, kept_since).await?;
    drop(tx);
    let telemetry = app.telemetry.as_ref();
    let telemetry =
        telemetry.ok_or_else(|| Problem::unavailable("event_log_unavailable", "telemetry can't be read"))?;
    let until = to.and_then(|to| to.checked_add_signed(STORED_LATE_MAX));
    let is_in_time = |at: DateTime<Utc>| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to);
    let wanted = |_: &TelemetryMessage, record: TelemetryRecord| {
        let is_wanted = record.kind == TelemetryKind::Measurements && is_in_time(record.received_at);
        is_wanted.then(|| measurement(record, name.as_deref())).flatten()
    };
    let page = telemetry.page(tenant, device, begin, until, paging.limit, wanted).await?;
    let is_named = |reading: &(String, Reading)| name.as_deref().is_none_or(|name| name == reading.0);
    let latest = readings.into_iter().filter(is_named);
    Ok(Json(TelemetryBody {
        latest: latest.map(|(name, Reading { value, at })| (name, ReadingBody { value, at })).collect(),
        page: paging.keyed(page.items, page.next.map(|next| vec![next.to_string()])),
    }))
}

/// None if it doesn't have the field.
fn measurement(record: TelemetryRecord, name: Option<&str>) -> Option<MeasurementBody> {
    let data: Value = serde_json::from_str(record.data.get()).ok()?;
    let data = match name {
        None => data,
        Some(name) => Value::Object([(name.to_owned(), data.get(name)?.clone())].into_iter().collect()),
    };
    Some(MeasurementBody { at: record.received_at, device_time: record.device_time, data })
}

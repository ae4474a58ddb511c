//! `GET /devices/{id}`: a device now, from the read model; or as it was, from EVENTS.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::device::Device;
use domain::{DeviceId, Key};
use event_store::{At, Position, PositionToken};
use projections::DEVICES;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::model::DeviceBody;
use crate::auth::{Caller, Viewer};
use crate::http::path::DevicePath;
use crate::http::position::same_log;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{FilterSet, Filters, MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Earliest log there can be, in milliseconds since 1970: September 2001.
const INCARNATION_MIN_MS: u64 = 1_000_000_000_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceMoment {
    /// As it was at this time, with everything that the log had stored or somebody had decided by then.
    at_time: Option<DateTime<Utc>>,
    /// As it was at this position: a sequence number, or a position as replies or histories give it.
    at_position: Option<String>,
}

impl FilterSet for DeviceMoment {}

/// Get a device
///
/// With `at_time` or `at_position` as it was then. Needs role viewer.
#[utoipa::path(
    get, path = "/devices/{device_id}", tag = "devices", params(DevicePath, DeviceMoment, PositionParams),
    responses(
        (status = 200, body = DeviceBody),
        (status = 404, description = "Unknown, or not yet registered then", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_device(
    State(app): State<App>,
    Viewer(caller): Viewer,
    Path(path): Path<DevicePath>,
    Filters(moment): Filters<DeviceMoment>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    let id = path.device_id;
    if let Some(at) = moment.moment(&app).await? {
        return Ok(device_at(&app, &caller, &id, at).await?.into_response());
    }
    min_position.wait(&app, &caller, &[DEVICES]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let view = projections::devices::get(&mut tx, &caller.tenant, id.as_str()).await?;
    let view = view.ok_or_else(|| Problem::not_found("no such device"))?;
    Ok(Found { version: view.row.version, resource: DeviceBody::from(view) }.into_response())
}

impl DeviceMoment {
    async fn moment(&self, app: &App) -> Result<Option<Moment>, Problem> {
        match (self.at_time, &self.at_position) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Problem::bad_request("at_time and at_position exclude each other")),
            (Some(time), None) => Ok(Some(Moment::Time(time))),
            (None, Some(text)) => position(text, app).await.map(Some),
        }
    }
}

/// A point in a device's life.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Time(DateTime<Utc>),
    /// Behind a whole record.
    Record(u64),
    /// Behind one event of a record.
    Event(Position),
}

/// A sequence number, an event's place as histories show it, or a position as replies give it. The latter begins with a time in
/// milliseconds, which no sequence number comes near.
async fn position(text: &str, app: &App) -> Result<Moment, Problem> {
    let malformed = || Problem::bad_request("at_position is no position of this event log");
    if let Ok(sequence) = text.parse() {
        return Ok(Moment::Record(sequence));
    }
    let token: PositionToken = text.parse().map_err(|_| malformed())?;
    if token.incarnation_ms < INCARNATION_MIN_MS {
        return text.parse().map(Moment::Event).map_err(|_| malformed());
    }
    same_log(app, token).await?;
    Ok(Moment::Record(token.sequence))
}

async fn device_at(app: &App, caller: &Caller, id: &DeviceId, at: Moment) -> Result<Found<DeviceBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, id);
    let loaded = match at {
        Moment::Time(time) => app.store.load_at(&key, At::Time(time)).await?,
        Moment::Record(sequence) => app.store.load_at(&key, At::Position(sequence)).await?,
        Moment::Event(event) => app.store.load_behind(&key, event).await?,
    };
    // At a position a hold that stood is shown, however late it was.
    let then = if let Moment::Time(time) = at { time } else { DateTime::<Utc>::MIN_UTC };
    if loaded.version > 0 {
        return Ok(Found {
            version: loaded.version,
            resource: DeviceBody::of(id, &loaded.aggregate, loaded.origin.as_deref()).held_at(&loaded.aggregate, then),
        });
    }
    match app.store.history(&key, 1, 1).await?.first() {
        Some(first) => {
            let time = first.stored_at.to_rfc3339_opts(SecondsFormat::Millis, true);
            let detail = format!("the device was registered only at {time}");
            Err(Problem::not_found(detail).with_facts(json!({"registered_at": first.stored_at})))
        }
        None => Err(Problem::not_found("no such device")),
    }
}

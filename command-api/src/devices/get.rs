//! `GET /devices/{id}`: a device now, from the read model; or at an earlier time, from EVENTS.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::Key;
use domain::device::Device;
use event_store::At;
use projections::FLEET;

use super::model::DeviceBody;
use super::reading::UNKNOWN;
use crate::auth::Caller;
use crate::http::past::{AsItWas, Beginning, MomentParams, as_it_was};
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{Filters, MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

const BEGINNING: Beginning =
    Beginning { unknown: UNKNOWN, only_at: "the device was registered only at", fact: "registered_at" };

/// Get a device
///
/// With `at_time` or `at_position`, its state at that time or position.
#[utoipa::path(
    get, path = "/devices/{device_id}", tag = "devices", params(DevicePath, MomentParams, PositionParams),
    responses(
        (status = 200, body = AsItWas<DeviceBody>),
        (status = 404, description = "Unknown, or not yet registered then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A time or position in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(moment): Filters<MomentParams>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    let id = path.device_id;
    let key = Key::<Device>::new(&caller.tenant, &id);
    if let Some(at) = moment.moment(&app).await? {
        min_position.of_this_log(&app).await?;
        // At a position, a hold is shown if it was in effect there, even if its end has passed by now.
        let then = if let At::Time(time) = at { time } else { DateTime::<Utc>::MIN_UTC };
        return as_it_was(&app, &key, at, &BEGINNING, |loaded| {
            let device = DeviceBody::of(&id, &loaded.aggregate, loaded.origin.as_deref());
            Some(device.held_at(&loaded.aggregate, then))
        })
        .await;
    }
    let mut reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let view = loop {
        match app.device_reads.get(&caller.tenant, &id).await? {
            Some(view) => break view,
            None => reading.look_again(UNKNOWN, |_| true).await?,
        }
    };
    Ok(Found { version: view.row.version, resource: DeviceBody::from(view) }.into_response())
}

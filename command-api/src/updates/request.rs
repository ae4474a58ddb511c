//! `POST /devices/{id}/update` and `PUT /devices/{id}/ota/update`: an update of one device.

use axum::extract::State;
use axum::http::StatusCode;
use domain::device::{Device, DeviceCommand, DeviceEvent};
use domain::{DeviceId, Key};

use super::model::{UpdateBody, location};
use super::order::{UpdateOrder, usable_firmware};
use super::past;
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Done, Envelope, Path, Problem, Reply};
use crate::state::App;

/// Update a device
///
/// Dispatched as soon as the device can be reached. 409 if that firmware is already under way, or the device can't run it.
#[utoipa::path(
    post, path = "/devices/{device_id}/update", tag = "updates", request_body = UpdateOrder,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 201, body = WithPosition<UpdateBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn request_update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(order)): CommandRequest<Body<UpdateOrder>>,
) -> Result<Reply<UpdateBody>, Problem> {
    request(&app, &caller, &envelope, &path.device_id, order).await
}

/// Update a device (old spelling)
///
/// As `POST /devices/{device_id}/update`, but 200 with the existing update if that firmware is already under way.
#[utoipa::path(
    put, path = "/devices/{device_id}/ota/update", tag = "updates", request_body = UpdateOrder,
    params(DevicePath, CommandHeaders),
    responses((status = 200, body = WithPosition<UpdateBody>), (status = 201, body = WithPosition<UpdateBody>))
)]
pub(crate) async fn put_ota_update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(order)): CommandRequest<Body<UpdateOrder>>,
) -> Result<Reply<UpdateBody>, Problem> {
    let id = path.device_id;
    match request(&app, &caller, &envelope, &id, order).await {
        Err(problem) if problem.status() == StatusCode::CONFLICT && problem.code() == "update_in_progress" => {
            let ordinal = problem.facts().and_then(|facts| facts["ordinal"].as_u64()).unwrap_or_default();
            let key = Key::<Device>::new(&caller.tenant, &id);
            let loaded = app.store.load_fresh(&key).await?;
            let body = past::body(&app, &key, &id, &loaded.aggregate, ordinal as u32).await?;
            Ok(Reply::ok(body, app.token(loaded.last_sequence).await?).version(loaded.version))
        }
        outcome => outcome,
    }
}

async fn request(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: &DeviceId,
    order: UpdateOrder,
) -> Result<Reply<UpdateBody>, Problem> {
    if order.device_id.as_ref().is_some_and(|given| given != id.as_str()) {
        return Err(Problem::invalid("device_id", "differs from the path"));
    }
    let key = Key::<Device>::new(&caller.tenant, id);
    if let Some(done) = app.repeated(caller, envelope, &key).await? {
        return queued(app, &key, id, &done).await;
    }
    let rules = app.tenants.rules_of_dispatch(&caller.tenant).await?;
    let firmware = usable_firmware(app, caller, order.firmware_id).await?;
    let request = Box::new(order.request(&app.config, rules, firmware)?);
    let done = app.command(caller, envelope, &key, DeviceCommand::RequestUpdate { request }, order.reason).await?;
    queued(app, &key, id, &done).await
}

/// 201 with the update that a command queued.
pub(crate) async fn queued(
    app: &App,
    key: &Key<Device>,
    id: &DeviceId,
    done: &Done<Device>,
) -> Result<Reply<UpdateBody>, Problem> {
    let ordinal = queued_ordinal(done)?;
    Ok(done.reply_created(past::body(app, key, id, &done.aggregate, ordinal).await?, location(id, ordinal)))
}

/// The ordinal of the update that a command queued.
pub(super) fn queued_ordinal(done: &Done<Device>) -> Result<u32, Problem> {
    let ordinal = done.events.iter().find_map(|event| match event {
        DeviceEvent::UpdateQueued { update, .. } => Some(update.ordinal),
        _ => None,
    });
    ordinal.ok_or_else(|| Problem::internal("an update was asked for and none was queued"))
}

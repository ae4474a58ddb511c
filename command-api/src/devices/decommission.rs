//! `DELETE /devices/{id}`: take a device out of service. Its history is kept.

use axum::extract::State;
use domain::Key;
use domain::device::{Device, DeviceCommand};
use serde::Serialize;
use utoipa::ToSchema;

use super::hold::ReasonRequest;
use super::{dev_eui, lorawan_keys};
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// The id of the decommissioned device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    pub(crate) id: String,
}

/// Decommission a device
///
/// Its updates are cancelled; its history is kept. Registering the id again takes it back into service.
#[utoipa::path(
    delete, path = "/devices/{device_id}", tag = "devices", request_body = ReasonRequest,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn decommission_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let done = app.command(&caller, &envelope, &key, DeviceCommand::Decommission, wanted.reason).await?;
    if let Some(eui) = &done.aggregate.profile.lorawan_dev_eui
        && !done.dry_run
    {
        dev_eui::release_unless_used(&app, &caller, &envelope, eui, &path.device_id).await;
    }
    if !done.dry_run {
        lorawan_keys::forget(&app, &caller.tenant, &path.device_id, &done).await;
    }
    Ok(done.reply(Deleted { id: path.device_id.to_string() }))
}

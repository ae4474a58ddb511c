//! `POST /devices/{id}/commands/{n}/cancel`

use axum::extract::State;
use domain::Key;
use domain::device::{Device, DeviceCommand};

use super::model::DeviceCommandBody;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::DeviceCommandPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Cancel a command of a device
///
/// Until the device has accepted it. One that is sent already may be on its way: a device that has received it may still run it, and what it reports
/// then is shown as `late_status`.
#[utoipa::path(
    post, path = "/devices/{device_id}/commands/{n}/cancel", tag = "device commands", request_body = ReasonRequest,
    params(DeviceCommandPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<DeviceCommandBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Accepted, or ended", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_device_command(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DeviceCommandPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<DeviceCommandBody>, Problem> {
    let (device, n) = (path.device_id, path.n);
    let key = Key::<Device>::new(&caller.tenant, &device);
    let done = app.command(&caller, &envelope, &key, DeviceCommand::CancelCommand { n }, wanted.reason).await?;
    let body = match done.aggregate.commands.get(n) {
        Some(command) => DeviceCommandBody::of(&device, command),
        None => super::get::body(&app, &caller, &key, &device, n).await?,
    };
    Ok(done.reply(body))
}

//! `POST /updates/{id}/cancel`

use axum::extract::State;
use domain::Key;
use domain::device::{Device, DeviceCommand};

use super::model::UpdateBody;
use super::past;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::UpdatePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Cancel an update
///
/// A waiting update is cancelled at once. Before the installation the device is told to cancel; once it is installing it is too late.
#[utoipa::path(
    post, path = "/updates/{update_id}/cancel", tag = "updates", request_body = ReasonRequest,
    params(UpdatePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<UpdateBody>),
        (status = 409, description = "Too late, or ended", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<UpdatePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<UpdateBody>, Problem> {
    let (device, ordinal) = (path.update_id.device, path.update_id.ordinal);
    let key = Key::<Device>::new(&caller.tenant, &device);
    let command = DeviceCommand::CancelUpdate { ordinal };
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    Ok(done.reply(past::body(&app, &key, &device, &done.aggregate, ordinal).await?))
}

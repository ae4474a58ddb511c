//! `POST /firmware/{id}/deprecate` (warns) and `/withdraw` (refuses new updates).

use axum::extract::State;
use domain::Key;
use domain::firmware::{Firmware, FirmwareCommand};

use super::model::FirmwareBody;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Path, Problem, Reply};
use crate::state::App;

/// Deprecate a firmware
///
/// It can still be used; replies have a warning.
#[utoipa::path(
    post, path = "/firmware/{firmware_id}/deprecate", tag = "firmware", request_body = ReasonRequest,
    params(FirmwarePath, CommandHeaders), responses((status = 200, body = WithPosition<FirmwareBody>))
)]
pub(crate) async fn deprecate_firmware(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<FirmwareBody>, Problem> {
    retire(&app, &caller, &envelope, path, FirmwareCommand::Deprecate, wanted.reason).await
}

/// Withdraw a firmware
///
/// New updates with it are refused from now on; running campaigns with it pause. Updates that wait for it end `superseded`, with the reason
/// `firmware_withdrawn`. Devices that have begun and are not installing yet get the command `cancel`: their links answer 410, and their
/// updates end `cancelled` with the same reason. From `installing` on an update runs to its end, and its link stays valid.
#[utoipa::path(
    post, path = "/firmware/{firmware_id}/withdraw", tag = "firmware", request_body = ReasonRequest,
    params(FirmwarePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<FirmwareBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn withdraw_firmware(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<FirmwareBody>, Problem> {
    retire(&app, &caller, &envelope, path, FirmwareCommand::Withdraw, wanted.reason).await
}

async fn retire(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    path: FirmwarePath,
    command: FirmwareCommand,
    reason: Option<String>,
) -> Result<Reply<FirmwareBody>, Problem> {
    let key = Key::<Firmware>::new(&caller.tenant, &path.firmware_id);
    let done = app.command(caller, envelope, &key, command, reason).await?;
    let body = FirmwareBody::done(path.firmware_id, &done);
    Ok(done.reply(body.ok_or_else(|| Problem::internal("a firmware without content"))?))
}

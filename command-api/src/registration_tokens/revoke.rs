//! `DELETE /registration-tokens/{id}`.

use axum::extract::State;
use domain::Key;
use domain::registration_token::{RegistrationToken, RegistrationTokenCommand};

use super::model::RegistrationTokenBody;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::RegistrationTokenPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Revoke a registration token
///
/// No device can register with it any more. Devices that have keep their credentials.
#[utoipa::path(
    delete, path = "/registration-tokens/{token_id}", tag = "registration tokens", request_body = ReasonRequest,
    params(RegistrationTokenPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<RegistrationTokenBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke_registration_token(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<RegistrationTokenPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<RegistrationTokenBody>, Problem> {
    let key = Key::<RegistrationToken>::new(&caller.tenant, &path.token_id);
    let done = app.command(&caller, &envelope, &key, RegistrationTokenCommand::Revoke, wanted.reason).await?;
    Ok(done.reply(RegistrationTokenBody::done(path.token_id, &done)))
}

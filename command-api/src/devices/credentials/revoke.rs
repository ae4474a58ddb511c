//! `DELETE /devices/{id}/credentials/{credential_id}`.

use axum::extract::State;
use domain::Key;
use domain::device::{Device, DeviceCommand};

use crate::auth::Caller;
use crate::devices::{Deleted, ReasonRequest};
use crate::http::commands::CommandHeaders;
use crate::http::path::CredentialPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Revoke a credential of a device
///
/// Its connections are closed within seconds; a device with another live credential may come back. Revoking it again changes nothing.
#[utoipa::path(
    delete, path = "/devices/{device_id}/credentials/{credential_id}", tag = "devices", request_body = ReasonRequest,
    params(CredentialPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The device is decommissioned and has no credentials", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke_credential(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CredentialPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let command = DeviceCommand::RevokeCredential { credential_id: path.credential_id };
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    Ok(done.reply(Deleted { id: path.credential_id.to_string() }))
}

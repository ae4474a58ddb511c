//! `POST /firmware/{id}/signatures`: add signatures to a firmware.

use axum::extract::State;
use domain::firmware::{Firmware, FirmwareCommand};
use domain::{Key, Rejection};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::FirmwareBody;
use super::signatures::{SignatureRequest, Signed, checked};
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Signatures to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"signatures": [{"scheme": "waybill-manifest-v1", "key": "7692c3ad", "sig": "dHdvIHRpbWVzIHRoaXJ0eS10d28gYnl0ZXMgb2YgYW4gRWQyNTUxOSBzaWduYXR1cmUgYXJlIHNpeHR5LTQuLg=="}]}))]
pub(crate) struct SignRequest {
    /// At most 16.
    signatures: Vec<SignatureRequest>,
    reason: Option<String>,
}

/// Add signatures to a firmware
///
/// Each must be by a key that the tenant trusts now. A firmware has at most 16; one that it has already changes nothing.
#[utoipa::path(
    post, path = "/firmware/{firmware_id}/signatures", tag = "firmware", request_body = SignRequest,
    params(FirmwarePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<FirmwareBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Not a signature of this firmware by a trusted key; or the firmware is deleted, or has as many as it may", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not the form of a signature", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sign_firmware(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<SignRequest>>,
) -> Result<Reply<FirmwareBody>, Problem> {
    let key = Key::<Firmware>::new(&caller.tenant, &path.firmware_id);
    let firmware = app.store.load_fresh(&key).await?;
    let (metadata, bytes) = firmware.aggregate.content.as_ref().ok_or(Rejection::FirmwareUnknown)?;
    if wanted.signatures.is_empty() {
        return Err(Problem::invalid("signatures", "at least one"));
    }
    let tenant = app.tenants.get(&caller.tenant).await?;
    let signed = Signed { metadata, bytes, blake2b_512: None };
    let signatures = checked("signatures", &wanted.signatures, &tenant, &signed)?;
    let done = app.command(&caller, &envelope, &key, FirmwareCommand::Sign { signatures }, wanted.reason).await?;
    let body = FirmwareBody::done(path.firmware_id, &done);
    Ok(done.reply(body.ok_or_else(|| Problem::internal("a firmware without content"))?))
}

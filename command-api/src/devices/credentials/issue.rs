//! `POST /devices/{id}/credentials`: a token with which the device logs in, or a client certificate that counts as one.

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use domain::device::{Device, DeviceCommand, DeviceEvent, NewCredential};
use domain::{CredentialId, Key};
use runtime::clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use serde::{Deserialize, Serialize};
use trust::DeviceToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{MqttLogin, location};
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem};
use crate::shown_token::{NOT_CACHED, ShownToken, shown_before};
use crate::state::App;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expires_at": "2099-12-31T00:00:00Z", "reason": "delivered to site north"}))]
pub(crate) struct CredentialRequest {
    /// Without it the credential lasts until it is revoked.
    expires_at: Option<DateTime<Utc>>,
    /// The device's client certificate, PEM: it counts in place of a token, so there is none. nats-server must trust its authority.
    #[schema(example = json!(null), max_length = 16_384)]
    certificate: Option<String>,
    reason: Option<String>,
}

/// Longest certificate, in bytes of PEM.
const CERTIFICATE_MAX_BYTES: usize = 16 * 1024;

/// A credential with its token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedCredential {
    credential_id: Uuid,
    /// The device's password. Null on a dry run, and if a certificate takes its place.
    token: Option<ShownToken>,
    expires_at: Option<DateTime<Utc>>,
    mqtt: MqttLogin,
}

/// Issue a credential to a device
///
/// The token is shown in this reply only: it is not stored. A device has at most two live credentials, so that it can get a new token before
/// the old one is revoked. With `certificate` the credential is that client certificate, and the device logs in without a password.
#[utoipa::path(
    post, path = "/devices/{device_id}/credentials", tag = "devices", request_body = CredentialRequest,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 201, body = WithPosition<IssuedCredential>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Two live credentials, decommissioned, or the same request again: its token can't be shown again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issue_credential(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<CredentialRequest>>,
) -> Result<impl IntoResponse, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let (token, id) = (DeviceToken::generate(), CredentialId(clock::new_id()));
    let hash = match &wanted.certificate {
        Some(pem) => app.config.token_hasher.hash_certificate(&certificate(pem)?),
        None => app.config.token_hasher.hash(&token),
    };
    let expires_at = wanted.expires_at;
    let credential = NewCredential { credential_id: id, hash, expires_at, by: caller.actor.clone() };
    let command = DeviceCommand::IssueCredential { credential };
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    // The same request has issued another one before.
    if let Some(before) = issued(&done.events).filter(|issued| *issued != id) {
        return Err(shown_before("credential_id", before));
    }
    let token = (!done.dry_run && wanted.certificate.is_none()).then(|| ShownToken::of(&token));
    let mqtt = MqttLogin::of(&caller.tenant, &path.device_id);
    let issued = IssuedCredential { credential_id: id.0, token, expires_at, mqtt };
    Ok((NOT_CACHED, done.reply_created(issued, location(&path.device_id))))
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, Problem> {
    if pem.len() > CERTIFICATE_MAX_BYTES {
        return Err(invalid(format!("has more than {CERTIFICATE_MAX_BYTES} bytes")));
    }
    let der =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| invalid("is not a certificate in PEM form"))?;
    ParsedCertificate::try_from(&der).map_err(|_| invalid("is not an X.509 certificate"))?;
    Ok(der)
}

fn invalid(reason: impl Into<String>) -> Problem {
    Problem::invalid("certificate", reason)
}

fn issued(events: &[DeviceEvent]) -> Option<CredentialId> {
    events.iter().find_map(|event| match event {
        DeviceEvent::CredentialIssued { credential_id, .. } => Some(*credential_id),
        _ => None,
    })
}

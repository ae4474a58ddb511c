//! `/tenants/{id}/trusted-keys`: the public keys whose signatures of firmware count.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::firmware::KeyFingerprint;
use domain::tenant::{Tenant, TenantCommand, TrustedKey};
use domain::{Key, Rejection, Sealed, TenantId};
use serde::{Deserialize, Serialize};
use trust::signatures::{Algorithm, VerificationKey};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::firmware::signatures::fingerprint_of;
use crate::http::commands::CommandHeaders;
use crate::http::path::{TenantPath, TrustedKeyPath};
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, MinPosition, Path, PositionParams, Problem, Reply};
use crate::state::App;

/// A public key to trust.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "public_key": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    "name": "build server",
}))]
pub(crate) struct TrustedKeyRequest {
    /// PEM (`BEGIN PUBLIC KEY`) of Ed25519 or of ECDSA with P-256, minisign's public key, or the 32 bytes of an Ed25519 key in base64.
    public_key: String,
    /// Whose it is, or where it is kept.
    name: Option<String>,
    reason: Option<String>,
}

/// A trusted public key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrustedKeyBody {
    /// SHA-256 of the key's bytes, in hex.
    #[schema(example = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed")]
    fingerprint: String,
    /// Its first 8 digits, as commands name the key.
    #[schema(example = "7692c3ad")]
    key: String,
    /// `ed25519`: manifests and files of minisign; `ecdsa_p256`: bundles of cosign.
    algorithm: &'static str,
    /// PEM.
    public_key: String,
    name: Option<String>,
}

/// All trusted keys of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrustedKeysBody {
    items: Vec<TrustedKeyBody>,
    /// Different trusted keys that must have signed a firmware: `rules.require_signatures` of the tenant.
    require_signatures: u8,
}

impl TrustedKeyBody {
    fn of(fingerprint: KeyFingerprint, key: &TrustedKey) -> Self {
        let algorithm = match key.public_key.parse::<VerificationKey>().map(|key| key.algorithm()) {
            Ok(Algorithm::EcdsaP256) => "ecdsa_p256",
            Ok(Algorithm::Ed25519) | Err(_) => "ed25519",
        };
        Self {
            fingerprint: fingerprint.to_string(),
            key: fingerprint.short_id(),
            algorithm,
            public_key: key.public_key.clone(),
            name: key.name.as_ref().and_then(|name| name.plain().cloned()),
        }
    }
}

/// List the trusted keys of a tenant
///
/// By fingerprint; at most 32.
#[utoipa::path(
    get, path = "/tenants/{tenant_id}/trusted-keys", tag = "firmware", params(TenantPath, PositionParams),
    responses(
        (status = 200, body = TrustedKeysBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_trusted_keys(
    State(app): State<App>,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    min_position: MinPosition,
) -> Result<Json<TrustedKeysBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let tenant = known(&app, &tenant_id).await?;
    let items = tenant.trusted_keys.0.iter().map(|(fingerprint, key)| TrustedKeyBody::of(*fingerprint, key));
    Ok(Json(TrustedKeysBody { items: items.collect(), require_signatures: tenant.spec.rules.require_signatures }))
}

/// Trust a key
///
/// Signatures by it count from now on, of firmware that is signed from now on and of firmware that it had signed while it was trusted before.
/// The same key again changes its name.
#[utoipa::path(
    post, path = "/tenants/{tenant_id}/trusted-keys", tag = "firmware", request_body = TrustedKeyRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<TrustedKeyBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The tenant trusts 32 keys", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn trust_key(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<TrustedKeyRequest>>,
) -> Result<Reply<TrustedKeyBody>, Problem> {
    let key = wanted.public_key.parse::<VerificationKey>();
    let key = key.map_err(|error| Problem::invalid("public_key", error.to_string()))?;
    let fingerprint = fingerprint_of(&key);
    let trusted = TrustedKey { public_key: key.to_pem(), name: wanted.name.map(Sealed::Plain) };
    let body = TrustedKeyBody::of(fingerprint, &trusted);
    let command = TenantCommand::TrustKey { fingerprint, key: trusted };
    let of_tenant = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let done = app.tell_tenant(&caller, &envelope, &of_tenant, command, wanted.reason).await?;
    Ok(done.reply(body))
}

/// Trust a key no longer
///
/// Where the tenant asks for signatures, what the key alone has signed isn't dispatched any more: commands that devices have not answered are
/// taken back, campaigns wait (`signatures`), updates of single devices are refused (`unsigned`). What a device has begun runs to its end.
#[utoipa::path(
    delete, path = "/tenants/{tenant_id}/trusted-keys/{fingerprint}", tag = "firmware", request_body = ReasonRequest,
    params(TrustedKeyPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<TrustedKeyBody>),
        (status = 404, description = "No such tenant, or it doesn't trust the key", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn distrust_key(
    State(app): State<App>,
    caller: Caller,
    Path(TrustedKeyPath { tenant_id, fingerprint }): Path<TrustedKeyPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<TrustedKeyBody>, Problem> {
    let tenant = known(&app, &tenant_id).await?;
    let key = tenant.trusted_keys.0.get(&fingerprint).ok_or_else(not_trusted)?;
    let body = TrustedKeyBody::of(fingerprint, key);
    let of_tenant = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let command = TenantCommand::DistrustKey { fingerprint };
    let done = app.tell_tenant(&caller, &envelope, &of_tenant, command, wanted.reason).await?;
    Ok(done.reply(body))
}

fn not_trusted() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "key_not_trusted", "the tenant doesn't trust this key")
}

async fn known(app: &App, id: &TenantId) -> Result<Tenant, Problem> {
    let loaded = app.store.load_fresh(&Key::<Tenant>::new(id, id)).await?;
    if loaded.version == 0 { Err(Rejection::TenantUnknown.into()) } else { Ok((*loaded.aggregate).clone()) }
}

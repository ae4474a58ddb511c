//! `POST /auth/verify-token` and `/auth/verify-api-key`: other services of the house ask who shows them a token.
//!
//! A token of another tenant is not valid, and the reply says nothing else about it.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use domain::{ActorKind, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Caller, Role};
use crate::http::problem::ProblemBody;
use crate::http::{Body, Problem};
use crate::shown_token::NOT_CACHED;
use crate::state::App;
use crate::tokens::claimed_tenant;

/// A bearer token of a person or a service.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"}))]
pub(crate) struct VerifyTokenRequest {
    token: String,
}

/// An API key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"api_key": "wbk_default_018f4e2a7f0070008000000000000001_c2VjcmV0"}))]
pub(crate) struct VerifyApiKeyRequest {
    api_key: String,
}

/// Who shows a token. The fields after `valid` describe a valid one.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Verification {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    /// Who acts, as in the history: `user:…`, `key:…` or `service:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// `person`, `key` or `service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "key")]
    kind: Option<ActorKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<Role>>,
    /// Absent: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    /// Why it is not valid; absent for a token of another tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Verification {
    fn valid(holder: Caller, expires_at: Option<DateTime<Utc>>) -> Self {
        Self {
            valid: true,
            tenant_id: Some(holder.tenant.to_string()),
            kind: Some(holder.kind()),
            actor: Some(holder.actor.to_string()),
            roles: Some(holder.roles),
            expires_at,
            reason: None,
        }
    }

    /// What was found out. Only a refused token is a finding; other problems are problems of this request.
    fn of(found: Result<(Caller, Option<DateTime<Utc>>), Problem>, asker: &TenantId) -> Result<Self, Problem> {
        match found {
            Ok((holder, expires_at)) if holder.tenant == *asker => Ok(Self::valid(holder, expires_at)),
            Ok(_) => Ok(Self::default()),
            Err(problem) if problem.status().as_u16() == 401 => {
                Ok(Self { reason: Some(problem.detail().to_owned()), ..Self::default() })
            }
            Err(problem) => Err(problem),
        }
    }
}

/// Admins may ask, and service accounts.
fn may_ask(caller: &Caller) -> Result<(), Problem> {
    let is_service = caller.kind() == ActorKind::Service && caller.has(Role::Viewer);
    if is_service || caller.has(Role::Admin) {
        return Ok(());
    }
    Err(Problem::forbidden("this needs the role admin, or a service account"))
}

/// Check a bearer token
///
/// For services of the same house, which are shown a token and want to know whose it is. Only admins and service accounts may ask.
#[utoipa::path(
    post, path = "/auth/verify-token", tag = "auth", request_body = VerifyTokenRequest,
    responses(
        (status = 200, body = Verification),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn verify_token(
    State(app): State<App>,
    caller: Caller,
    Body(shown): Body<VerifyTokenRequest>,
) -> Result<impl IntoResponse, Problem> {
    may_ask(&caller)?;
    // Also a token that has expired says nothing about another tenant.
    let is_foreign = claimed_tenant(&shown.token).is_some_and(|tenant| tenant != caller.tenant.as_str());
    let verification = if is_foreign {
        Verification::default()
    } else {
        let found = app.tokens.verify_until(&shown.token).await;
        let found = found.and_then(|(holder, expires_at)| Ok((app.with_grants(holder)?, Some(expires_at))));
        Verification::of(found, &caller.tenant)?
    };
    Ok((NOT_CACHED, Json(verification)))
}

/// Check an API key
///
/// The same as `POST /auth/verify-token` for API keys. It counts as a use of the key.
#[utoipa::path(
    post, path = "/auth/verify-api-key", tag = "auth", request_body = VerifyApiKeyRequest,
    responses(
        (status = 200, body = Verification),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn verify_api_key(
    State(app): State<App>,
    caller: Caller,
    Body(shown): Body<VerifyApiKeyRequest>,
) -> Result<impl IntoResponse, Problem> {
    may_ask(&caller)?;
    let is_foreign = trust::ApiKey::parse(&shown.api_key).is_some_and(|key| key.tenant != caller.tenant);
    let verification = if is_foreign {
        Verification::default()
    } else {
        let found = app.known_keys()?.verify(&app.config.token_hasher, &shown.api_key);
        let found = found.and_then(|holder| Ok((app.with_grants(holder.caller)?, holder.expires_at)));
        Verification::of(found, &caller.tenant)?
    };
    Ok((NOT_CACHED, Json(verification)))
}

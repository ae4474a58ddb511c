//! `POST /auth/dev-token`: tokens for development.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{ActorKind, TenantId};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_TENANT, Role};
use crate::http::{Body, Problem};
use crate::state::App;
use crate::tokens::actor;

/// Longest life of a dev token, in seconds.
const EXPIRES_IN_MAX_S: u32 = 30 * 24 * 3_600;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_id": "developer", "expires_in": 3600, "roles": ["operator"]}))]
pub(crate) struct DevTokenRequest {
    /// An opaque id; recorded in the audit as `user:{user_id}`, or with the kind of the caller instead of `user`.
    #[serde(default = "default_user")]
    user_id: String,
    /// Accepted and ignored.
    #[serde(default)]
    #[expect(dead_code, reason = "part of the request's schema")]
    email: Option<String>,
    /// Seconds, at most 30 days.
    #[serde(default = "default_expires_in")]
    expires_in: u32,
    #[serde(default = "default_tenant")]
    tenant_id: String,
    #[serde(default = "default_roles")]
    roles: Vec<Role>,
    /// `person`, `key` or `service`. Only a person can approve.
    #[serde(default)]
    #[schema(value_type = Option<String>, default = "person", example = "person")]
    kind: ActorKind,
}

fn default_user() -> String {
    "developer".to_owned()
}

fn default_expires_in() -> u32 {
    3_600
}

fn default_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}

fn default_roles() -> Vec<Role> {
    vec![Role::Admin]
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DevToken {
    token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    expires_at: DateTime<Utc>,
    tenant_id: String,
}

/// Get a token for development
///
/// Only in development mode; 404 otherwise. A tenant that doesn't exist is created.
#[utoipa::path(
    post, path = "/auth/dev-token", tag = "auth", request_body = DevTokenRequest,
    responses((status = 200, body = DevToken), (status = 404, description = "Not in development mode"))
)]
pub(crate) async fn dev_token(
    State(app): State<App>,
    Body(wanted): Body<DevTokenRequest>,
) -> Result<Json<DevToken>, Problem> {
    if !app.config.development {
        return Err(Problem::not_found("there is nothing at this path"));
    }
    let tenant = TenantId::new(wanted.tenant_id).map_err(|error| Problem::invalid("tenant_id", error.to_string()))?;
    let Some(caller) = actor(wanted.kind, &wanted.user_id) else {
        return Err(Problem::invalid("user_id", "an opaque id without blanks, 1 to 123 characters"));
    };
    if wanted.expires_in > EXPIRES_IN_MAX_S {
        return Err(Problem::invalid("expires_in", format!("at most {EXPIRES_IN_MAX_S}")));
    }
    app.tenants.create_for_development(&tenant, caller).await?;
    let expires_at = clock::now() + TimeDelta::seconds(wanted.expires_in.into());
    let token = app.tokens.sign_as(wanted.kind, &wanted.user_id, &tenant, wanted.roles, expires_at)?;
    Ok(Json(DevToken { token, token_type: "Bearer", expires_at, tenant_id: tenant.to_string() }))
}

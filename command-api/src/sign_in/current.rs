//! `GET /auth/session`: who has signed in, for a console.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::visitor::{SignedIn, set_up};
use crate::caller::Role;
use crate::http::Problem;
use crate::http::problem::ProblemBody;
use crate::state::App;

/// A role for some devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitedRoleBody {
    role: Role,
    /// Devices of these groups.
    groups: Vec<String>,
    /// Devices whose `owner` is the person.
    own: bool,
}

/// A web session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionBody {
    /// Who acts, as in histories.
    #[schema(example = "user:5f0c3c1e")]
    actor: String,
    tenant_id: String,
    /// In the whole tenant: by the groups at the sign-in, and by what the tenant grants.
    roles: Vec<Role>,
    limited_roles: Vec<LimitedRoleBody>,
    /// When it ends at the latest, however often it is used.
    expires_at: DateTime<Utc>,
    /// Without a further request.
    idle_expires_at: DateTime<Utc>,
}

/// Get the session
///
/// Who has signed in, and until when. A request of this session that changes anything needs `Sec-Fetch-Site: same-origin` or the
/// service's `Origin`, which browsers send by themselves; there is no other token against forged requests.
#[utoipa::path(
    get, path = "/auth/session", tag = "auth",
    responses(
        (status = 200, body = SessionBody),
        (status = 401, description = "No session", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The tenant is suspended or closed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Whether there is a session can't be known now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn current_session(
    State(app): State<App>,
    SignedIn { session, .. }: SignedIn,
) -> Result<Json<SessionBody>, Problem> {
    app.tenants.admit(&session.tenant).await?;
    let caller = app.with_grants(session.caller())?;
    let roles: BTreeSet<Role> = caller.roles.into_iter().collect();
    let limited = caller.limited.into_iter().map(|limited| LimitedRoleBody {
        role: limited.role,
        groups: limited.limits.groups.iter().map(ToString::to_string).collect(),
        own: limited.limits.own,
    });
    Ok(Json(SessionBody {
        actor: session.actor.to_string(),
        tenant_id: session.tenant.to_string(),
        roles: roles.into_iter().collect(),
        limited_roles: limited.collect(),
        expires_at: session.expires_at,
        idle_expires_at: set_up(&app)?.sessions.idle_end(&session),
    }))
}

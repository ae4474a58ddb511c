//! `GET` and `DELETE /auth/sessions`: the sessions of the caller, and for admins those of others.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use domain::Actor;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::parts::SignIn;
use super::visitor::{set_up, standing};
use crate::auth::has_header;
use crate::caller::{Caller, Role};
use crate::http::path::SessionPath;
use crate::http::problem::ProblemBody;
use crate::http::query::{FilterSet, Filters};
use crate::http::{Path, Problem};
use crate::sessions::ListedSession;
use crate::state::App;

/// Whose sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionFilter {
    /// A person, as in histories; the caller if it isn't given. Others need role admin.
    #[param(value_type = Option<String>, example = "user:5f0c3c1e")]
    actor: Option<Actor>,
}

impl FilterSet for SessionFilter {}

/// A session of a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedSessionBody {
    /// No secret: it opens nothing.
    session_id: Uuid,
    created_at: DateTime<Utc>,
    /// The last request, to about a minute.
    used_at: DateTime<Utc>,
    /// When it ends at the latest, however often it is used.
    expires_at: DateTime<Utc>,
    /// By the groups at the sign-in.
    roles: Vec<Role>,
    /// Whether this request comes with it.
    current: bool,
}

/// The sessions of a person, at most 20.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionsBody {
    #[schema(example = "user:5f0c3c1e")]
    actor: String,
    items: Vec<ListedSessionBody>,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedSessions {
    ended: usize,
}

/// The person that is meant. Only admins may mean somebody else.
fn whose(caller: &Caller, named: Option<Actor>) -> Result<Actor, Problem> {
    match named {
        Some(actor) if actor != caller.actor && !caller.has(Role::Admin) => {
            Err(Problem::forbidden("the sessions of others need role admin"))
        }
        Some(actor) => Ok(actor),
        None => Ok(caller.actor.clone()),
    }
}

/// The id of the session that a request comes with.
fn current(sign_in: &SignIn, parts: &Parts) -> Option<Uuid> {
    let token = sign_in.shown(parts).filter(|_| !has_header(parts))?;
    Some(sign_in.sessions.id(&token))
}

/// List the sessions of a person
///
/// Those that last, in every process, the oldest first. Everybody sees their own; an admin those of each person of the tenant.
#[utoipa::path(
    get, path = "/auth/sessions", tag = "auth", params(SessionFilter),
    responses(
        (status = 200, body = SessionsBody),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The service has no origin with HTTPS, so there are no sessions", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Sessions can't be looked up now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_sessions(
    State(app): State<App>,
    caller: Caller,
    Filters(filter): Filters<SessionFilter>,
    parts: Parts,
) -> Result<Json<SessionsBody>, Problem> {
    let sign_in = set_up(&app)?;
    let actor = whose(&caller, filter.actor)?;
    let standing = standing(&app, &caller.tenant, &actor).await?;
    let current = current(sign_in, &parts);
    let listed = sign_in.sessions.list(&caller.tenant, &actor, standing).await?;
    let items = listed.into_iter().map(|ListedSession { id, session }| ListedSessionBody {
        session_id: id,
        created_at: session.created_at,
        used_at: session.used_at,
        expires_at: session.expires_at,
        roles: session.roles,
        current: current == Some(id),
    });
    Ok(Json(SessionsBody { actor: actor.to_string(), items: items.collect() }))
}

/// End all sessions of a person
///
/// Everybody may end all of their own; an admin also those of each person of the tenant. In this process at once, in others milliseconds later, in one
/// that has lost NATS within 10 s. The person can sign in again as long as the provider lets them.
#[utoipa::path(
    delete, path = "/auth/sessions", tag = "auth", params(SessionFilter),
    responses(
        (status = 200, body = EndedSessions),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The service has no origin with HTTPS, so there are no sessions", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not all sessions could be ended: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end_sessions(
    State(app): State<App>,
    caller: Caller,
    Filters(filter): Filters<SessionFilter>,
) -> Result<Json<EndedSessions>, Problem> {
    let sign_in = set_up(&app)?;
    let actor = whose(&caller, filter.actor)?;
    let ended = sign_in.sessions.end_all(&caller.tenant, &actor).await?;
    tracing::info!(actor = %caller.actor, person = %actor, ended, "All web sessions of a person were ended.");
    Ok(Json(EndedSessions { ended }))
}

/// End a session
///
/// One of the caller's own, or as an admin one of the tenant; otherwise 404. As fast as `DELETE /auth/sessions`.
#[utoipa::path(
    delete, path = "/auth/sessions/{session_id}", tag = "auth", params(SessionPath),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such session, or no longer", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It can't be ended now: it goes on", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end_session(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<SessionPath>,
) -> Result<StatusCode, Problem> {
    let may = |actor: &Actor| *actor == caller.actor || caller.has(Role::Admin);
    if !set_up(&app)?.sessions.end_by_id(&caller.tenant, path.session_id, may).await? {
        return Err(Problem::not_found("there is no such session"));
    }
    tracing::info!(actor = %caller.actor, session.id = %path.session_id, "A web session was ended.");
    Ok(StatusCode::NO_CONTENT)
}

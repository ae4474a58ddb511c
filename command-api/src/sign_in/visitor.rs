//! Who comes with a session: whether it stands, and what its person may.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::{Actor, Key, MemberId, TenantId};
use trust::SessionToken;

use super::origin;
use super::parts::SignIn;
use crate::caller::Caller;
use crate::http::Problem;
use crate::sessions::{Session, Standing};
use crate::state::App;

/// A person with a session. The handler gets it from [`crate::access`].
#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(super) token: SessionToken,
}

impl SignedIn {
    /// The session's key in the bucket of sessions.
    pub(crate) fn key(&self, app: &App) -> Result<String, Problem> {
        Ok(set_up(app)?.sessions.key(&self.token))
    }
}

/// Refuses a session that has ended since it was shown. This is no request of the person, so an idle session ends.
pub(crate) async fn must_stand(app: &App, key: &str) -> Result<(), Problem> {
    match set_up(app)?.sessions.standing(key).await? {
        Some(session) if stands(app, &session).await? => Ok(()),
        Some(_) | None => Err(Problem::unauthorized("the session has ended: sign in again")),
    }
}

/// Refuses a WebSocket that another page opens. Browsers name the page's origin, and let any page open one.
pub(crate) fn must_be_opened_here(app: &App, parts: &Parts) -> Result<(), Problem> {
    origin::must_be_named(parts, &set_up(app)?.config.public_url)
}

/// Sign-in, if it is set up.
pub(super) fn set_up(app: &App) -> Result<&SignIn, Problem> {
    let not_set_up =
        || Problem::not_found("sign-in isn't set up: this service has no origin with HTTPS (WAYBILL_PUBLIC_URL)");
    app.sign_in.as_ref().ok_or_else(not_set_up)
}

/// The person whose session a request shows. One that changes anything must come from this origin.
pub(crate) async fn signed_in(app: &App, parts: &Parts) -> Result<SignedIn, Problem> {
    let sign_in = app.sign_in.as_ref().ok_or_else(|| Problem::unauthorized("a bearer token is needed"))?;
    let token = sign_in.shown(parts).ok_or_else(|| Problem::unauthorized("there is no session: sign in"))?;
    origin::must_be_own(parts, &sign_in.config.public_url)?;
    let session = sign_in.sessions.find(&token).await?;
    let session = match session {
        Some(session) if stands(app, &session).await? => session,
        Some(_) | None => return Err(Problem::unauthorized("the session has ended: sign in again")),
    };
    Ok(SignedIn { session, token })
}

/// How often a person's rights were taken away at once, as this process knows.
pub(super) async fn standing(app: &App, tenant: &TenantId, actor: &Actor) -> Result<Standing, Problem> {
    app.knows_all_members().await?;
    let member = app.known_members()?.get(&Key::new(tenant, &MemberId::of(actor)))?;
    let suspensions = app.tenants.get(tenant).await?.suspensions();
    Ok(Standing { suspensions, removals: member.map_or(0, |member| member.aggregate.removals) })
}

/// Whether nothing has ended the session since it began. That the tenant is shut is checked elsewhere, where the reply says so.
async fn stands(app: &App, session: &Session) -> Result<bool, Problem> {
    if let Some(key) = session.api_key
        && let Err(problem) = app.known_keys()?.must_stand(&session.tenant, key)
    {
        return if problem.status() == StatusCode::UNAUTHORIZED { Ok(false) } else { Err(problem) };
    }
    let is_shut = app.tenants.get(&session.tenant).await?.admits_callers().is_err();
    Ok(is_shut || standing(app, &session.tenant, &session.actor).await? == session.standing)
}

/// Whether a request shows a cookie that could be a session.
pub(crate) fn shows_session(app: &App, parts: &Parts) -> bool {
    app.sign_in.as_ref().is_some_and(|sign_in| sign_in.shown(parts).is_some())
}

/// Whether the caller may do anything, by their own roles or by what the tenant grants them.
pub(super) async fn has_any_right(app: &App, caller: Caller) -> Result<bool, Problem> {
    app.knows_all_members().await?;
    let caller = app.with_grants(caller)?;
    Ok(!caller.roles.is_empty() || !caller.limited.is_empty())
}

/// Refuses people of a tenant that doesn't exist or is shut.
pub(super) async fn admitted_by(app: &App, tenant: &TenantId) -> Result<(), Problem> {
    app.tenants.admit(tenant).await.map_err(|problem| match problem.status().as_u16() {
        401 => Problem::forbidden_as("tenant_unknown", "your tenant is not known here"),
        _ => problem,
    })
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("the operation takes no session"))
    }
}

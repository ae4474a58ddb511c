//! `POST /auth/session`: the holder of a token or an API key gets a web session, so that a browser keeps no token.
//!
//! The session gives no more than the token or key does, and ends with it. A page of another origin can't begin one: it can't send the header.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use domain::Key;
use serde::Serialize;
use utoipa::ToSchema;

use super::cookies;
use super::visitor::{admitted_by, has_any_right, set_up, standing};
use crate::auth::{Credential, has_header, identify};
use crate::http::Problem;
use crate::http::problem::ProblemBody;
use crate::sessions::Beginning;
use crate::state::App;

/// A session that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenedSession {
    /// Who acts, as in histories.
    #[schema(example = "user:5f0c3c1e")]
    actor: String,
    tenant_id: String,
}

/// Begin a session
///
/// For browsers of people without an OpenID provider: the holder of the token or API key in the header gets a web session in a cookie. It ends with
/// the token or key at the latest. The browser's session before it ends.
#[utoipa::path(
    post, path = "/auth/session", tag = "auth",
    responses(
        (status = 201, description = "With the cookie of the session", body = OpenedSession),
        (status = 401, description = "No valid token or API key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "No role in the tenant, or the tenant is suspended or closed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The service has no origin with HTTPS, so there are no sessions", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Too many sessions", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Sessions can't be begun now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open_session(State(app): State<App>, parts: Parts) -> Result<impl IntoResponse, Problem> {
    let sign_in = set_up(&app)?;
    if !has_header(&parts) {
        return Err(Problem::unauthorized("a bearer token or an API key is needed"));
    }
    let (caller, credential) = identify(&app, &parts).await?;
    admitted_by(&app, &caller.tenant).await?;
    if !has_any_right(&app, caller.clone()).await? {
        return Err(Problem::forbidden_as("no_role", "the token has no role in its tenant"));
    }
    let standing = standing(&app, &caller.tenant, &caller.actor).await?;
    let (api_key, ends_by) = match credential {
        Credential::ApiKey { tenant, id } => {
            let key = app.known_keys()?.current()?.get(&Key::new(&tenant, &id))?;
            (Some(id), key.and_then(|key| key.aggregate.terms()?.expires_at))
        }
        Credential::Token { expires_at } => (None, Some(expires_at)),
        Credential::Session { .. } => return Err(Problem::internal("a header shows no session")),
    };
    if let Some(before) = sign_in.shown(&parts) {
        sign_in.sessions.end(&before).await?;
    }
    let opened = OpenedSession { actor: caller.actor.to_string(), tenant_id: caller.tenant.to_string() };
    let token = sign_in.sessions.begin(Beginning {
        tenant: caller.tenant,
        actor: caller.actor,
        roles: caller.roles,
        standing,
        api_key,
        is_kind_stated: caller.is_kind_stated,
        ends_by,
    });
    let (name, lifetime) = (cookies::session_name(sign_in.is_https()), sign_in.sessions.lifetime());
    let cookie = cookies::kept(name, token.await?.as_ref().reveal(), lifetime)?;
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(opened)))
}

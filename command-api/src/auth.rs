//! Authentication: who sent a request. What they may do is in [`crate::access`].
//!
//! Bearer tokens are JWTs. No header bypasses them. Tokens of devices open nothing here; one route alone takes registration tokens
//! ([`crate::device_registrations`]).

mod dev_token;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header;
use axum::http::request::Parts;

pub(crate) use dev_token::{__path_dev_token, dev_token};

pub(crate) use crate::caller::{Caller, DEFAULT_TENANT, Role};
use crate::http::Problem;
use crate::state::App;

/// The bearer token of a request.
pub(crate) fn bearer(parts: &Parts) -> Result<&str, Problem> {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match header.and_then(|header| header.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        Some(_) | None => Err(Problem::unauthorized("a bearer token is needed")),
    }
}

/// The caller whose token a request has. A tenant in the path must be theirs.
pub(crate) async fn authenticate(app: &App, parts: &mut Parts) -> Result<Caller, Problem> {
    let token = bearer(parts)?;
    if trust::is_token_of_devices(token) {
        return Err(Problem::unauthorized("tokens of devices don't open the API"));
    }
    let caller = app.tokens.verify(token).await?;
    app.throttle.admit(&parts.extensions, &caller.tenant, &caller.actor)?;
    let path = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Problem::not_found("there is nothing at this path"))?;
    match path.iter().find(|(name, _)| *name == "tenant_id") {
        Some((_, tenant)) if tenant != caller.tenant.as_str() => Err(Problem::not_found("you have no such tenant")),
        _ => Ok(caller),
    }
}

//! Authentication: who sent a request. What they may do is in [`crate::access`].
//!
//! Callers show a JWT as bearer token, an API key as bearer token or in `X-API-Key`, or a web session in a cookie ([`crate::sign_in`]). A
//! header counts before a cookie. Nothing else says who calls. Tokens of devices open nothing here, in no scheme; one route alone takes registration
//! tokens ([`crate::device_registrations`]).

mod credential;
mod dev_token;
mod schemes;
mod verify;

use axum::http::header;
use axum::http::request::Parts;

pub(crate) use credential::Credential;
pub(crate) use dev_token::{__path_dev_token, dev_token};
use schemes::bearer;
pub(crate) use schemes::registration_token;
pub(crate) use verify::{__path_verify_api_key, __path_verify_token, verify_api_key, verify_token};

pub(crate) use crate::caller::{Caller, DEFAULT_TENANT, Role};
use crate::http::{Problem, single_header};
use crate::sign_in;
use crate::state::App;

/// The token that a caller shows: a bearer token or an API key.
fn shown(parts: &Parts) -> Result<&str, Problem> {
    let Some(key) = single_header(&parts.headers, "X-API-Key")? else { return bearer(parts) };
    if !trust::is_api_key(key) {
        return Err(Problem::unauthorized("X-API-Key takes an API key: wbk_…"));
    }
    let is_alone = !parts.headers.contains_key(header::AUTHORIZATION);
    if is_alone || bearer(parts).is_ok_and(|bearer| bearer == key) {
        return Ok(key);
    }
    Err(Problem::bad_request("X-API-Key and Authorization differ: give one of them"))
}

/// Whether a request says in a header who calls.
pub(crate) fn has_header(parts: &Parts) -> bool {
    parts.headers.contains_key(header::AUTHORIZATION) || parts.headers.contains_key("X-API-Key")
}

/// Whether these headers have an API key in them, valid or not.
pub(crate) fn shows_api_key(parts: &Parts) -> bool {
    shown(parts).is_ok_and(trust::is_api_key)
}

/// Who calls.
pub(crate) async fn authenticate(app: &App, parts: &Parts) -> Result<Caller, Problem> {
    identify(app, parts).await.map(|(caller, _)| caller)
}

/// Who calls, and by what.
pub(crate) async fn identify(app: &App, parts: &Parts) -> Result<(Caller, Credential), Problem> {
    let (caller, credential) = if has_header(parts) || !sign_in::shows_session(app, parts) {
        by_header(app, parts).await?
    } else {
        let signed_in = sign_in::signed_in(app, parts).await?;
        (signed_in.session.caller(), Credential::Session { key: signed_in.key(app)? })
    };
    app.throttle.admit(&parts.extensions, &caller.tenant, &caller.actor)?;
    Ok((caller, credential))
}

async fn by_header(app: &App, parts: &Parts) -> Result<(Caller, Credential), Problem> {
    let token = shown(parts)?;
    if trust::is_token_of_devices(token) {
        return Err(schemes::of_devices());
    }
    if trust::is_api_key(token) {
        let holder = app.known_keys()?.verify(&app.config.token_hasher, token)?;
        let credential = Credential::ApiKey { tenant: holder.caller.tenant.clone(), id: holder.id };
        return Ok((holder.caller, credential));
    }
    let (caller, expires_at) = app.tokens.verify_until(token).await?;
    Ok((caller, Credential::Token { expires_at }))
}

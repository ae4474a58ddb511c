//! People sign in at an OpenID provider: authorization code with PKCE, done by this service. What they get is a web session in a cookie. The
//! holder of a token or an API key gets one, too (`open.rs`).
//!
//! Begin at `start.rs` and go on at `callback.rs`. No token of the provider reaches the browser's scripts, and none is kept. Of what the
//! provider tells about a person, `sub` becomes the actor and groups become roles; names and e-mail addresses are dropped.
//!
//! Invariants: a sign-in ends in the browser where it began; a code, a state and an ID token count once; a request that changes anything
//! and is let in by a cookie comes from this origin.

mod callback;
mod cookies;
mod current;
mod exchange;
mod id_token;
pub(crate) mod metrics;
mod open;
mod origin;
mod page;
mod parts;
mod pending;
mod provider;
mod return_to;
mod role_map;
mod roles;
mod sessions;
mod sign_out;
mod start;
mod userinfo;
mod visitor;
mod watched;
mod ways;

use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::Problem;

pub(crate) use callback::{__path_sign_in_callback, sign_in_callback};
pub(crate) use cookies::SESSION_COOKIE;
pub(crate) use current::{__path_current_session, current_session};
pub(crate) use open::{__path_open_session, open_session};
pub(crate) use parts::{CALLBACK, SignIn};
pub use parts::{SignInConfig, SignInParts};
pub use provider::ProviderHttp;
pub use role_map::{InvalidRoleMap, RoleMap};
pub(crate) use sessions::{
    __path_end_session, __path_end_sessions, __path_list_sessions, end_session, end_sessions, list_sessions,
};
pub(crate) use sign_out::{__path_sign_out, sign_out};
pub(crate) use start::{__path_start_sign_in, start_sign_in};
pub(crate) use visitor::{SignedIn, must_be_opened_here, must_stand, shows_session, signed_in};
pub(crate) use ways::{__path_sign_in_ways, sign_in_ways};

/// The parameters of a request. Unknown ones were refused before.
fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    let unreadable = |error| Problem::bad_request(format!("the query can't be read: {error}"));
    serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()).map_err(unreadable)
}

//! `GET /auth/sign-in-ways`: how people can sign in, for a console.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::visitor::shows_session;
use crate::state::App;

/// How people can sign in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignInWays {
    /// Whether an OpenID provider is set up: `GET /auth/sign-in`.
    openid: bool,
    /// Whether a token or an API key begins a session: `POST /auth/session`.
    session: bool,
    /// Whether `POST /auth/dev-token` gives a token to everybody.
    development: bool,
    /// Whether the request shows a session; `GET /auth/session` says whether it stands.
    shows_session: bool,
}

/// List the ways to sign in
#[utoipa::path(get, path = "/auth/sign-in-ways", tag = "auth", responses((status = 200, body = SignInWays)))]
pub(crate) async fn sign_in_ways(State(app): State<App>, parts: Parts) -> Json<SignInWays> {
    let sign_in = app.sign_in.as_ref();
    let openid = sign_in.is_some_and(|sign_in| sign_in.provider.is_some());
    let shows_session = shows_session(&app, &parts);
    Json(SignInWays { openid, session: sign_in.is_some(), development: app.config.development, shows_session })
}

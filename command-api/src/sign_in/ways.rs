//! `GET /auth/sign-in-ways`: what a console offers to who has not signed in.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

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
}

/// List the ways to sign in
#[utoipa::path(get, path = "/auth/sign-in-ways", tag = "auth", responses((status = 200, body = SignInWays)))]
pub(crate) async fn sign_in_ways(State(app): State<App>) -> Json<SignInWays> {
    let sign_in = app.sign_in.as_ref();
    let openid = sign_in.is_some_and(|sign_in| sign_in.provider.is_some());
    Json(SignInWays { openid, session: sign_in.is_some(), development: app.config.development })
}

//! `POST /auth/sign-out`: ends a session.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::cookies;
use super::parts::SignIn;
use super::visitor::{SignedIn, set_up};
use crate::http::Problem;
use crate::http::problem::ProblemBody;
use crate::state::App;

/// What is left to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignedOut {
    /// Where a browser ends the session at the provider, too. Null if the provider names no such place, or doesn't answer.
    #[schema(example = "https://id.example.com/logout?client_id=waybill")]
    end_session_url: Option<String>,
}

/// Sign out
///
/// The session ends at once, in every process. The one at the provider goes on, unless the browser visits `end_session_url`.
#[utoipa::path(
    post, path = "/auth/sign-out", tag = "auth",
    responses(
        (status = 200, body = SignedOut),
        (status = 401, description = "No session", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from another origin", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The session can't be ended now: it goes on", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sign_out(
    State(app): State<App>,
    SignedIn { token, .. }: SignedIn,
) -> Result<impl IntoResponse, Problem> {
    let sign_in = set_up(&app)?;
    sign_in.sessions.end(&token).await?;
    let cookie = cookies::forgotten(cookies::session_name(sign_in.is_https()))?;
    let end_session_url = end_session_url(sign_in).await;
    Ok(([(header::SET_COOKIE, cookie)], Json(SignedOut { end_session_url })))
}

/// No ID token is kept, so the provider may ask the person whether to sign out.
async fn end_session_url(sign_in: &SignIn) -> Option<String> {
    let endpoint = sign_in.provider().ok()?.metadata().await.ok()?.end_session_endpoint.clone()?;
    let client = serde_urlencoded::to_string([("client_id", &sign_in.config.client_id)]).ok()?;
    Some(format!("{endpoint}{}{client}", if endpoint.contains('?') { '&' } else { '?' }))
}

//! `GET /auth/callback`: the browser comes back from the provider with a code, and gets a session.

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use runtime::clock;
use serde::Deserialize;
use utoipa::IntoParams;

use super::exchange::{Answer, word};
use super::parts::SignIn;
use super::pending::Pending;
use super::provider::{Metadata, unavailable};
use super::roles::no_role;
use super::visitor::{admitted_by, has_any_right, set_up, standing};
use super::{cookies, metrics, page, query};
use crate::caller::Caller;
use crate::http::Problem;
use crate::http::problem::ProblemBody;
use crate::sessions::Beginning;
use crate::state::App;

/// What the provider sends. It may send more, which is ignored.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackParams {
    code: Option<String>,
    state: Option<String>,
    /// Who answers (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// Come back from the OpenID provider
///
/// For browsers: checks what the provider says, sets the cookie of a session, and leads to where the sign-in began.
#[utoipa::path(
    get, path = "/auth/callback", tag = "auth", params(CallbackParams),
    responses(
        (status = 303, description = "Signed in: to `return_to`, with the cookie of the session"),
        (status = 400, description = "No sign-in of this browser is under way, or it was used", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
        (status = 403, description = "The provider refuses, its ID token isn't valid, or no group has a role", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
        (status = 404, description = "No OpenID provider is set up", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
        (status = 409, description = "Roles in several tenants, or too many sessions", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
        (status = 503, description = "The OpenID provider or the store of sessions can't be used", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
    )
)]
pub(crate) async fn sign_in_callback(State(app): State<App>, parts: Parts) -> Result<Response, Problem> {
    match signed_in(&app, &parts).await {
        Ok(answer) => {
            metrics::signed_in();
            Ok(answer.into_response())
        }
        Err(problem) => page::refused(&parts, problem),
    }
}

async fn signed_in(app: &App, parts: &Parts) -> Result<impl IntoResponse, Problem> {
    let sign_in = set_up(app)?;
    let said: CallbackParams = query(parts)?;
    let pending = sign_in.pending(parts, &said).await?;
    let _call = sign_in.calls.try_acquire().map_err(|_| unavailable())?;
    let metadata = sign_in.provider()?.metadata().await?;
    sign_in.check_issuer(&metadata, said.iss.as_deref())?;
    let code = code(said)?;
    // A state counts once, also if the provider would answer it twice.
    if !sign_in.used.entry(pending.state.clone()).or_insert(()).is_fresh() {
        return Err(begin_again("this sign-in was used"));
    }
    let Answer { id_token, access_token } = sign_in.exchange(&metadata, &pending, &code).await?;
    let person = sign_in.identity(&id_token, &pending).await?;
    let person = sign_in.ask_userinfo(&metadata, access_token, person).await?;
    let (tenant, roles) = sign_in.roles_of(&person, &pending)?;
    admitted_by(app, &tenant).await?;
    let caller = Caller {
        tenant: tenant.clone(),
        actor: person.actor.clone(),
        roles: roles.clone(),
        limited: vec![],
        limits: None,
        is_kind_stated: true,
    };
    if !has_any_right(app, caller).await? {
        return Err(no_role());
    }
    let standing = standing(app, &tenant, &person.actor).await?;
    // The browser's session before this one ends: nobody else may go on with it.
    if let Some(before) = sign_in.shown(parts) {
        sign_in.sessions.end(&before).await?;
    }
    let beginning = Beginning::of_person(tenant, person.actor, roles, standing);
    let token = sign_in.sessions.begin(beginning).await?;
    let (session, begun) = (cookies::session_name(sign_in.is_https()), cookies::sign_in_name(sign_in.is_https()));
    let cookies = AppendHeaders([
        (header::SET_COOKIE, cookies::kept(session, token.as_ref().reveal(), sign_in.sessions.lifetime())?),
        (header::SET_COOKIE, cookies::forgotten(begun)?),
    ]);
    let location = format!("{}{}", sign_in.config.public_url, pending.return_to);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)], cookies))
}

fn begin_again(reason: &str) -> Problem {
    let detail = format!("{reason}: begin again at /api/v1/auth/sign-in");
    Problem::new(StatusCode::BAD_REQUEST, "sign_in_failed", detail)
}

fn code(said: CallbackParams) -> Result<String, Problem> {
    match (said.error, said.code) {
        (Some(error), _) => {
            tracing::info!(error = word(&error), "The OpenID provider refuses a sign-in.");
            Err(Problem::forbidden_as("sign_in_refused", format!("the provider refuses: {}", word(&error))))
        }
        (None, Some(code)) => Ok(code),
        (None, None) => Err(begin_again("the provider sends no code")),
    }
}

impl SignIn {
    /// The sign-in that this browser has begun, if the answer is to it.
    async fn pending(&self, parts: &Parts, said: &CallbackParams) -> Result<Pending, Problem> {
        let cookie = cookies::read(&parts.headers, cookies::sign_in_name(self.is_https()));
        let pending = match cookie {
            Some(sealed) => Pending::open(sealed, &self.keyring, clock::now()).await,
            None => None,
        };
        let pending =
            pending.ok_or_else(|| begin_again("no sign-in of this browser is under way, or it took too long"))?;
        match &said.state {
            Some(state) if pending.has_state(state) => Ok(pending),
            Some(_) | None => Err(begin_again("the answer is to another sign-in")),
        }
    }

    /// Refuses an answer of another provider.
    fn check_issuer(&self, metadata: &Metadata, named: Option<&str>) -> Result<(), Problem> {
        match named {
            Some(issuer) if issuer == self.config.issuer => Ok(()),
            None if !metadata.authorization_response_iss_parameter_supported => Ok(()),
            Some(_) | None => Err(Problem::forbidden_as("issuer_differs", "the answer is not of the OpenID provider")),
        }
    }
}

//! `GET /auth/sign-in`: sends a browser to the provider.

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::TenantId;
use runtime::clock;
use serde::Deserialize;
use utoipa::IntoParams;

use super::pending::{LIFETIME, Pending};
use super::return_to::local_path;
use super::visitor::set_up;
use super::{cookies, page, query};
use crate::http::Problem;
use crate::http::problem::ProblemBody;
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignInParams {
    /// Where to go afterwards: a path of this origin.
    #[param(example = "/console/")]
    return_to: Option<String>,
    /// For people with roles in several tenants.
    #[param(example = "acme")]
    tenant: Option<String>,
}

/// Sign in
///
/// For browsers: leads to the OpenID provider, which leads back to `/auth/callback`.
#[utoipa::path(
    get, path = "/auth/sign-in", tag = "auth", params(SignInParams),
    responses(
        (status = 302, description = "To the OpenID provider"),
        (status = 400, content((ProblemBody = "application/problem+json"), (String = "text/html"))),
        (status = 404, description = "No OpenID provider is set up", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
        (status = 503, description = "The OpenID provider can't be used", content((ProblemBody = "application/problem+json"), (String = "text/html"))),
    )
)]
pub(crate) async fn start_sign_in(State(app): State<App>, parts: Parts) -> Result<Response, Problem> {
    match started(&app, &parts).await {
        Ok(answer) => Ok(answer.into_response()),
        Err(problem) => page::refused(&parts, problem),
    }
}

async fn started(app: &App, parts: &Parts) -> Result<impl IntoResponse, Problem> {
    let sign_in = set_up(app)?;
    let SignInParams { return_to, tenant } = query(parts)?;
    let return_to = return_to.as_deref().unwrap_or("/");
    let return_to = local_path(return_to)
        .ok_or_else(|| Problem::bad_request("return_to must be a path of this origin, such as /console/"))?;
    if tenant.as_ref().is_some_and(|tenant| TenantId::new(tenant.as_str()).is_err()) {
        return Err(Problem::bad_request("tenant is no tenant"));
    }
    let metadata = sign_in.provider()?.metadata().await?;
    let pending = Pending::new(return_to, tenant, clock::now());
    let asked = serde_urlencoded::to_string([
        ("response_type", "code"),
        ("client_id", &sign_in.config.client_id),
        ("redirect_uri", &sign_in.redirect_uri()),
        ("scope", &sign_in.config.scopes),
        ("state", &pending.state),
        ("nonce", &pending.nonce),
        ("code_challenge", &pending.challenge()),
        ("code_challenge_method", "S256"),
    ]);
    let endpoint = &metadata.authorization_endpoint;
    let separator = if endpoint.contains('?') { '&' } else { '?' };
    let location = format!("{endpoint}{separator}{}", asked.map_err(Problem::internal)?);
    let name = cookies::sign_in_name(sign_in.is_https());
    let cookie = cookies::kept(name, &pending.sealed(&sign_in.keyring)?, LIFETIME)?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)], [(header::SET_COOKIE, cookie)]))
}

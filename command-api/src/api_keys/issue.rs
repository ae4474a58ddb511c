//! `POST /api-keys`: a key with which a program uses the API.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use domain::api_key::{ApiKey, ApiKeyCommand, ApiKeyEvent, ApiKeyTerms};
use domain::{ApiKeyId, Key, Sealed, TokenHash};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{ApiKeyBody, Uses, location};
use crate::auth::Caller;
use crate::caller::Role;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Problem};
use crate::shown_token::{NOT_CACHED, ShownToken, shown_before};
use crate::state::App;

/// Most keys of a tenant, those that are expired or revoked included.
const KEYS_MAX: usize = 5_000;

/// What a program may do, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "CI of the meters", "roles": ["operator"], "reason": "nightly builds"}))]
pub(crate) struct ApiKeyRequest {
    /// For people; shown in lists.
    label: Option<String>,
    /// Only roles that the caller has, and not `platform_admin`.
    roles: Vec<Role>,
    /// At most 3,660 days ahead; without it the key lasts until it is revoked.
    expires_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

/// An API key with its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedApiKey {
    /// For the program. Null on a dry run.
    token: Option<ShownToken>,
    #[serde(flatten)]
    body: ApiKeyBody,
}

impl ApiKeyRequest {
    fn checked(self, caller: &Caller, now: DateTime<Utc>) -> Result<ApiKeyTerms, Problem> {
        let Self { label, roles, expires_at, reason: _ } = self;
        if roles.contains(&Role::PlatformAdmin) {
            return Err(Problem::invalid("roles", "no key can have platform_admin"));
        }
        if let Some(role) = roles.iter().find(|role| !caller.has(**role)) {
            let word = role.word();
            return Err(Problem::forbidden(format!("you can't give the role {word}, because you don't have it")));
        }
        let roles = roles.into_iter().map(|role| role.word().to_owned()).collect();
        let terms = ApiKeyTerms { roles, label: label.map(Sealed::Plain), expires_at };
        let mut checks = Checks::default();
        checks.violations(terms.violations(now));
        checks.finish()?;
        Ok(terms)
    }
}

/// Issue an API key
///
/// A program sends it as header `X-API-Key`, or as bearer token. Its text is shown in this reply only: it is not stored. Who has it may do
/// what its roles allow, until it expires or is revoked; it can't approve.
#[utoipa::path(
    post, path = "/api-keys", tag = "API keys", request_body = ApiKeyRequest, params(CommandHeaders),
    responses(
        (status = 201, body = WithPosition<IssuedApiKey>),
        (status = 403, description = "The caller lacks a role of the key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The same request again: its key can't be shown again; or the tenant has too many keys", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issue_api_key(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ApiKeyRequest>>,
) -> Result<impl IntoResponse, Problem> {
    let known = app.known_keys()?;
    let id = ApiKeyId(envelope.new_id(&caller));
    let key = Key::<ApiKey>::new(&caller.tenant, &id);
    if app.repeated(&caller, &envelope, &key).await?.is_some() {
        return Err(shown_before("key_id", id));
    }
    let reason = wanted.reason.clone();
    let terms = wanted.checked(&caller, clock::now())?;
    if known.current()?.count(&caller.tenant) >= KEYS_MAX {
        let detail = format!("the tenant has {KEYS_MAX} API keys, as many as it may have");
        return Err(Problem::new(StatusCode::CONFLICT, "too_many_api_keys", detail));
    }
    let token = trust::ApiKey::generate(caller.tenant.clone(), id);
    let hash = app.config.token_hasher.hash(&token);
    let done = app.command(&caller, &envelope, &key, ApiKeyCommand::Issue { hash, terms }, reason).await?;
    // The same request was carried out at the same moment.
    if !has_issued(&done.events, hash) {
        return Err(shown_before("key_id", id));
    }
    if !done.dry_run {
        known.know(done.position.sequence).await;
    }
    let token = (!done.dry_run).then(|| ShownToken::of(&token));
    let body = ApiKeyBody::done(&caller.tenant, id, &done, &Uses::new());
    Ok((NOT_CACHED, done.reply_created(IssuedApiKey { token, body }, location(id))))
}

fn has_issued(events: &[ApiKeyEvent], wanted: TokenHash) -> bool {
    events.iter().any(|event| matches!(event, ApiKeyEvent::Issued { hash, .. } if *hash == wanted))
}

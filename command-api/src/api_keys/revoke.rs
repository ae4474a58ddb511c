//! `DELETE /api-keys/{id}`.

use axum::extract::State;
use domain::Key;
use domain::api_key::{ApiKey, ApiKeyCommand};

use super::model::{ApiKeyBody, last_uses};
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::ApiKeyPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Revoke an API key
///
/// The next request with it is refused; other processes refuse it within a second.
#[utoipa::path(
    delete, path = "/api-keys/{key_id}", tag = "API keys", request_body = ReasonRequest, params(ApiKeyPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<ApiKeyBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke_api_key(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<ApiKeyPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<ApiKeyBody>, Problem> {
    let key = Key::<ApiKey>::new(&caller.tenant, &path.key_id);
    let done = app.command(&caller, &envelope, &key, ApiKeyCommand::Revoke, wanted.reason).await?;
    if !done.dry_run {
        app.known_keys()?.know(done.position.sequence).await;
    }
    let uses = last_uses(&app, &caller.tenant, &[path.key_id]).await;
    Ok(done.reply(ApiKeyBody::done(&caller.tenant, path.key_id, &done, &uses)))
}

//! `GET /api-keys/{id}`, from the aggregate.

use axum::extract::State;
use domain::api_key::ApiKey;
use domain::{Key, Rejection};

use super::model::{ApiKeyBody, last_uses};
use crate::auth::Caller;
use crate::http::path::ApiKeyPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Get an API key
///
/// What it allows and when it was last used, without its text.
#[utoipa::path(
    get, path = "/api-keys/{key_id}", tag = "API keys", params(ApiKeyPath, PositionParams),
    responses(
        (status = 200, body = ApiKeyBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_api_key(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<ApiKeyPath>,
    min_position: MinPosition,
) -> Result<Found<ApiKeyBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<ApiKey>::new(&caller.tenant, &path.key_id)).await?;
    if loaded.version == 0 {
        return Err(Rejection::ApiKeyUnknown.into());
    }
    let uses = last_uses(&app, &caller.tenant, &[path.key_id]).await;
    let (key, origin) = (&loaded.aggregate, loaded.origin.as_deref());
    let resource = ApiKeyBody::of(&caller.tenant, path.key_id, key, origin, loaded.version, &uses);
    Ok(Found { version: loaded.version, resource })
}

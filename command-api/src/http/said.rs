//! What a request said, as a digest: by it a request that comes again is told from another one under the same key, where the command
//! follows from more than the request.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use event_store::CommandHash;
use serde_json::Value;

use super::body;
use super::problem::Problem;

/// A body with the digest of the request: its path within the tenant and its JSON, whatever the order of fields.
pub(crate) struct Said<B>(pub(crate) B, pub(crate) CommandHash);

impl<B: FromRequest<S, Rejection = Problem>, S: Send + Sync> FromRequest<S> for Said<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let copy = Request::from_parts(parts.clone(), body);
        let bytes = body::read(copy, state).await?;
        // What is no JSON is refused below.
        let json =
            if bytes.is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { serde_json::from_slice(&bytes) };
        let said = CommandHash::of(&(parts.uri.path(), json.unwrap_or(Value::Null))).map_err(Problem::internal)?;
        let again = Request::from_parts(parts, Body::from(bytes));
        Ok(Self(B::from_request(again, state).await?, said))
    }
}

//! Commands with a JSON body, with a digest of the whole request: by it a request that comes again is told from another one under the same
//! key.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use event_store::CommandHash;
use serde_json::Value;

use super::body;
use super::envelope::Envelope;
use super::problem::Problem;

/// A command's envelope and body. The envelope has the digest of the request: its path within the tenant and its JSON, whatever the order
/// of fields, with the reason wherever it stands.
pub(crate) struct CommandRequest<B>(pub(crate) Envelope, pub(crate) B);

impl<B: FromRequest<S, Rejection = Problem>, S: Send + Sync> FromRequest<S> for CommandRequest<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let envelope = Envelope::of(&parts)?;
        let copy = Request::from_parts(parts.clone(), body);
        let bytes = body::read(copy, state).await?;
        let envelope = envelope.digesting(parts.uri.path(), &bytes)?;
        let again = Request::from_parts(parts, Body::from(bytes));
        Ok(Self(envelope, B::from_request(again, state).await?))
    }
}

/// The envelope of a command whose handler reads the body itself, and has to see to it that the key belongs to that body.
pub(crate) struct UnreadCommand(pub(crate) Envelope);

impl<S: Send + Sync> FromRequestParts<S> for UnreadCommand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _state: &S) -> Result<Self, Problem> {
        Envelope::of(parts).map(Self)
    }
}

/// Digest of a path and JSON; what is no JSON counts as null, and is refused elsewhere.
pub(super) fn digest(path: &str, bytes: &[u8], reason: Option<&str>) -> Result<CommandHash, Problem> {
    let mut json = if bytes.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(bytes).unwrap_or(Value::Null)
    };
    match (reason, &mut json) {
        (Some(reason), Value::Object(fields)) if fields.get("reason").is_none_or(Value::is_null) => {
            fields.insert("reason".to_owned(), Value::from(reason));
        }
        _ => {}
    }
    CommandHash::of(&(path, json)).map_err(Problem::internal)
}

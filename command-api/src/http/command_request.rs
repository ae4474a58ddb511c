//! Commands with a JSON body and a digest of the whole request. The digest distinguishes a repeated request from another one with the same
//! key.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};

use super::body;
use super::commands::Envelope;
use super::problem::Problem;

/// A command's envelope and body. The envelope has the digest of the request: its path within the tenant and its JSON with sorted fields,
/// with the reason of the body or of the query.
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

/// The envelope of a command whose handler reads the body itself. The handler must bind the key to that body.
pub(crate) struct UnreadCommand(pub(crate) Envelope);

impl<S: Send + Sync> FromRequestParts<S> for UnreadCommand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _state: &S) -> Result<Self, Problem> {
        Envelope::of(parts).map(Self)
    }
}

//! Requests to the API of JetStream whose answers are small parts of large ones.

use async_nats::jetstream::Context;
use async_nats::jetstream::response::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The server's code: there is no message with this number, or none after it with this subject.
pub(crate) const NO_MESSAGE_FOUND: u64 = 10_037;

/// The answer, or the server's code and reason; the outer error when there was no answer.
pub(crate) async fn ask<T: DeserializeOwned>(
    jetstream: &Context,
    subject: String,
    question: Value,
) -> Result<Result<T, (u64, String)>, String> {
    let answer: Response<T> = jetstream.request(subject, &question).await.map_err(|error| error.to_string())?;
    Ok(match answer {
        Response::Ok(found) => Ok(found),
        Response::Err { error } => Err((error.error_code().0, error.to_string())),
    })
}

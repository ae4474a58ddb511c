//! Requests to JetStream's API, each with a deadline.

use async_nats::Client;
use async_nats::client::Request;
use async_nats::connection::State;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::connection::REQUEST_TIMEOUT;
use crate::error::StoreError;

/// Fails at once when there is no connection.
pub(crate) fn connected(client: &Client) -> Result<(), StoreError> {
    match client.connection_state() {
        State::Connected => Ok(()),
        State::Pending | State::Disconnected => Err(StoreError::Unavailable("not connected to NATS".to_owned())),
    }
}

/// What JetStream's API answers: a result or an error, never both.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Answer<T> {
    Err { error: ApiError },
    Ok(T),
}

#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    pub(crate) fn into_store_error(self) -> StoreError {
        let text = format!("{} ({})", self.description, self.err_code);
        if self.code == 503 { StoreError::Unavailable(text) } else { StoreError::Refused(text) }
    }
}

/// One request to JetStream's API, answered by the leader.
pub(crate) async fn ask<T: DeserializeOwned>(
    client: &Client,
    subject: String,
    body: Bytes,
) -> Result<Result<T, ApiError>, StoreError> {
    connected(client)?;
    let request = Request::new().payload(body).timeout(Some(REQUEST_TIMEOUT));
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, client.send_request(subject, request)).await;
    let message = match answered {
        Ok(Ok(message)) => message,
        Ok(Err(error)) => return Err(StoreError::Unavailable(error.to_string())),
        Err(_) => return Err(StoreError::Unavailable("JetStream gave no answer in time".to_owned())),
    };
    match serde_json::from_slice(&message.payload) {
        Ok(Answer::Ok(answer)) => Ok(Ok(answer)),
        Ok(Answer::Err { error }) => Ok(Err(error)),
        Err(error) => Err(StoreError::Refused(format!("JetStream's answer can't be read: {error}"))),
    }
}

#[derive(serde::Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) created: chrono::DateTime<chrono::Utc>,
    pub(crate) state: StreamState,
}

#[derive(serde::Deserialize)]
pub(crate) struct StreamState {
    pub(crate) last_seq: u64,
}

impl StreamInfo {
    pub(crate) fn incarnation_ms(&self) -> u64 {
        u64::try_from(self.created.timestamp_millis()).unwrap_or(0)
    }
}

pub(crate) async fn stream_info(client: &Client, stream: &str) -> Result<StreamInfo, StoreError> {
    ask(client, format!("$JS.API.STREAM.INFO.{stream}"), Bytes::new()).await?.map_err(ApiError::into_store_error)
}

//! The bucket in NATS.

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use super::{SessionBucket, SessionChanges, SessionEntry};
use crate::error::{AppendError, StoreError};
use crate::jetstream::append::publish;
use crate::jetstream::reader::{Delivered, Source, subscribe};
use crate::jetstream_api::{ApiError, ask};
use crate::streams::{SESSION_VALUE_MAX_BYTES, SESSIONS, SESSIONS_STREAM, TICKETS, TICKETS_STREAM};

const NO_MESSAGE_FOUND: u64 = 10_037;
/// The header by which key-value clients tell that a key has no value.
const OPERATION: &str = "KV-Operation";

/// The sessions of all people, or the tickets of streams. Clones share the connection.
#[derive(Clone)]
pub struct JetStreamSessions {
    client: Client,
    bucket: &'static str,
    stream: &'static str,
}

impl JetStreamSessions {
    /// The client is one of account WAYBILL.
    pub fn new(client: Client) -> Self {
        Self { client, bucket: SESSIONS, stream: SESSIONS_STREAM }
    }

    /// The bucket of the tickets of streams, which has the same form.
    pub fn of_tickets(client: Client) -> Self {
        Self { client, bucket: TICKETS, stream: TICKETS_STREAM }
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.bucket)
    }

    async fn store(&self, key: &str, headers: HeaderMap, value: Bytes) -> Result<(), AppendError> {
        let stored =
            publish(&self.client, self.stream, self.subject(key), headers, value, SESSION_VALUE_MAX_BYTES).await;
        stored.map(drop)
    }

    /// Asks the leader for one message.
    async fn find(&self, wanted: Value) -> Result<Option<SessionEntry>, StoreError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            message: Found,
        }
        #[derive(serde::Deserialize)]
        struct Found {
            seq: u64,
            subject: String,
            #[serde(default)]
            data: String,
        }
        let api = format!("$JS.API.STREAM.MSG.GET.{}", self.stream);
        match ask::<Answer>(&self.client, api, Bytes::from(wanted.to_string())).await? {
            Ok(Answer { message: Found { seq, subject, data } }) => {
                let corrupt = |error| StoreError::Corrupt { position: seq, reason: format!("no base64: {error}") };
                let value = STANDARD.decode(data).map_err(corrupt)?;
                entry(&subject, seq, value.into()).map(Some)
            }
            Err(ApiError { err_code: NO_MESSAGE_FOUND, .. }) => Ok(None),
            Err(error) => Err(error.into_store_error()),
        }
    }
}

fn entry(subject: &str, revision: u64, value: Bytes) -> Result<SessionEntry, StoreError> {
    let key = subject.rsplit('.').next().unwrap_or_default().to_owned();
    Ok(SessionEntry { key, revision, value: (!value.is_empty()).then_some(value) })
}

fn expecting(revision: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
    headers
}

/// Without an answer it is not known whether the value was stored.
fn not_stored(error: AppendError) -> StoreError {
    match error {
        AppendError::Conflict { .. } => StoreError::Refused("the key has another value".to_owned()),
        AppendError::NoSpace(reason) => StoreError::NoSpace(reason),
        AppendError::TooLarge { bytes, max_bytes } => StoreError::TooLarge { bytes, max_bytes },
        AppendError::Refused(reason) => StoreError::Refused(reason),
        AppendError::Ambiguous(reason) | AppendError::Unavailable(reason) => StoreError::Unavailable(reason),
        AppendError::NoLeader => StoreError::Unavailable("the bucket has no leader".to_owned()),
    }
}

#[async_trait]
impl SessionBucket for JetStreamSessions {
    async fn create(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.store(key, expecting(0), value).await.map_err(not_stored)
    }

    async fn replace(&self, key: &str, revision: u64, value: Bytes) -> Result<bool, StoreError> {
        match self.store(key, expecting(revision), value).await {
            Ok(()) => Ok(true),
            Err(AppendError::Conflict { .. }) => Ok(false),
            Err(error) => Err(not_stored(error)),
        }
    }

    async fn end(&self, key: &str) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, "DEL");
        self.store(key, headers, Bytes::new()).await.map_err(not_stored)
    }

    async fn get(&self, key: &str) -> Result<Option<SessionEntry>, StoreError> {
        let found = self.find(json!({ "last_by_subj": self.subject(key) })).await?;
        Ok(found.filter(|entry| entry.value.is_some()))
    }

    async fn next_after(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        let wanted = json!({ "seq": revision + 1, "next_by_subj": self.subject(">") });
        Ok(self.find(wanted).await?.map(|entry| entry.revision))
    }

    fn changes(&self) -> SessionChanges {
        let convert =
            |Delivered { position, message, .. }: Delivered| entry(&message.subject, position, message.payload);
        let source = Source { stream: self.stream, filter: self.subject(">"), convert };
        subscribe(self.client.clone(), source, 1).boxed()
    }
}

//! Reads records from the stream: batch reads from any replica, the last sequence number from the leader.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::AggregateKey;
use serde_json::json;
use tokio::time::timeout;

use super::reader::Delivered;
use super::replies::{Incoming, Replies};
use crate::connection::REQUEST_TIMEOUT;
use crate::error::StoreError;
use crate::jetstream_api::{ApiError, ask, connected};
use crate::log::RawRecord;
use crate::{streams, subject};

/// Records asked for at once.
const PAGE_RECORDS: usize = 1_000;
/// Bytes asked for at once.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Most records that one read returns. A longer aggregate is a design error.
const AGGREGATE_RECORDS_MAX: usize = 1_000_000;
/// How long the first answer to a batch read may take, for each try, in milliseconds. A cluster distributes reads over its servers. Of
/// three servers, one that hangs gets a third of the reads while the others keep their route to it.
const FIRST_TIMEOUTS_MS: [u64; 5] = [250, 500, 750, 1_000, 1_000];
/// How long the next message of a batch may take.
const MESSAGE_TIMEOUT: Duration = REQUEST_TIMEOUT;

/// Most messages of other programs that one search passes over.
const STRAYS_MAX: usize = 100;

const NO_MESSAGE_FOUND: u64 = 10_037;
const STATUS_END_OF_BATCH: u16 = 204;
const STATUS_NOT_FOUND: u16 = 404;
/// Headers that the server adds to a message that it returns; not part of the record.
const READ_HEADERS: [&str; 7] = [
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Nats-Time-Stamp",
    "Nats-Num-Pending",
    "Nats-Last-Sequence",
    "Nats-UpTo-Sequence",
];

/// Result of one batch read, and whether there is more.
struct Page {
    records: Vec<RawRecord>,
    more: bool,
}

pub(super) async fn read(
    client: &Client,
    replies: &Replies,
    key: &AggregateKey,
    from_sequence: u64,
    limit: usize,
) -> Result<Vec<RawRecord>, StoreError> {
    let subject = subject::of(key);
    let mut records: Vec<RawRecord> = Vec::new();
    let mut next = from_sequence.max(1);
    while records.len() < limit {
        let batch = PAGE_RECORDS.min(limit - records.len());
        let page = read_page(client, replies, &subject, next, batch).await?;
        next = page.records.last().map_or(next, |last| last.position + 1);
        let more = page.more && !page.records.is_empty();
        records.extend(page.records);
        if !more {
            break;
        }
        if records.len() > AGGREGATE_RECORDS_MAX {
            return Err(StoreError::Refused(format!("{key} has more than {AGGREGATE_RECORDS_MAX} records")));
        }
    }
    Ok(records)
}

async fn read_page(
    client: &Client,
    replies: &Replies,
    subject: &str,
    from: u64,
    batch: usize,
) -> Result<Page, StoreError> {
    let request = json!({ "seq": from, "next_by_subj": subject, "batch": batch, "max_bytes": PAGE_BYTES });
    let api = format!("$JS.API.DIRECT.GET.{}", streams::EVENTS);
    for patience_ms in FIRST_TIMEOUTS_MS {
        connected(client)?;
        let mut incoming = replies.request(client, api.clone(), Bytes::from(request.to_string())).await?;
        if let Ok(first) = timeout(Duration::from_millis(patience_ms), incoming.messages.recv()).await {
            return rest_of_page(first, incoming).await;
        }
    }
    Err(no_answer())
}

async fn rest_of_page(first: Option<Message>, mut incoming: Incoming<'_>) -> Result<Page, StoreError> {
    let mut records: Vec<RawRecord> = Vec::new();
    let mut next = first;
    loop {
        let message = next.ok_or_else(|| StoreError::Unavailable("the connection was closed".to_owned()))?;
        let Some(end) = batch_end(&message)? else {
            records.push(from_batch(message)?);
            next = timeout(MESSAGE_TIMEOUT, incoming.messages.recv()).await.map_err(|_| no_answer())?;
            continue;
        };
        let last = records.last().map(|record| record.position);
        return match end.last {
            Some(named) if Some(named) != last => {
                Err(StoreError::Unavailable(format!("replies were lost: the batch ends at {named}, not at {last:?}")))
            }
            _ => Ok(Page { records, more: end.pending > 0 }),
        };
    }
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("JetStream gave no answer in time".to_owned())
}

/// The end of a batch. The batch is complete if the end names the last message that arrived.
pub(crate) struct BatchEnd {
    /// Sequence number of the last message; none of an empty batch.
    pub(crate) last: Option<u64>,
    /// How many more messages follow it.
    pub(crate) pending: u64,
}

/// A reply to a batch read: a message, or the end of the batch.
pub(crate) fn batch_end(message: &Message) -> Result<Option<BatchEnd>, StoreError> {
    let number = |name: &str| -> Option<u64> { message.headers.as_ref()?.get(name)?.as_str().parse().ok() };
    match message.status.map(|status| status.as_u16()) {
        None => Ok(None),
        Some(STATUS_NOT_FOUND) => Ok(Some(BatchEnd { last: None, pending: 0 })),
        Some(STATUS_END_OF_BATCH) => {
            let pending = number("Nats-Num-Pending").unwrap_or(0);
            Ok(Some(BatchEnd { last: number("Nats-Last-Sequence"), pending }))
        }
        Some(503) => Err(StoreError::Unavailable("no replica of the stream answers".to_owned())),
        Some(code) => {
            let text = message.description.clone().unwrap_or_default();
            Err(StoreError::Refused(format!("reading: {code} {text}")))
        }
    }
}

pub(super) async fn last_sequence(client: &Client, subject: &str) -> Result<u64, StoreError> {
    let found = find(client, &json!({ "last_by_subj": subject })).await?;
    Ok(found.map_or(0, |found| found.seq))
}

/// Sequence number of the first record after another whose subject matches a filter.
pub(super) async fn next_sequence(client: &Client, filter: &str, after: u64) -> Result<Option<u64>, StoreError> {
    let mut from = after + 1;
    for _ in 0..STRAYS_MAX {
        match find(client, &json!({ "seq": from, "next_by_subj": filter })).await? {
            // Written by another program.
            Some(Found { seq, subject }) if subject::parse(&subject).is_none() => from = seq + 1,
            found => return Ok(found.map(|found| found.seq)),
        }
    }
    Err(StoreError::Refused(format!("more than {STRAYS_MAX} messages of other programs follow {after}")))
}

/// A message that the leader has found.
#[derive(serde::Deserialize)]
struct Found {
    seq: u64,
    subject: String,
}

/// Asks the leader for one message.
async fn find(client: &Client, wanted: &serde_json::Value) -> Result<Option<Found>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Answer {
        message: Found,
    }
    let api = format!("$JS.API.STREAM.MSG.GET.{}", streams::EVENTS);
    match ask::<Answer>(client, api, Bytes::from(wanted.to_string())).await? {
        Ok(answer) => Ok(Some(answer.message)),
        Err(ApiError { err_code: NO_MESSAGE_FOUND, .. }) => Ok(None),
        Err(error) => Err(error.into_store_error()),
    }
}

/// A record from a batch read: position and time are in headers.
fn from_batch(message: Message) -> Result<RawRecord, StoreError> {
    let headers = message.headers.unwrap_or_default();
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    let position = text("Nats-Sequence").and_then(|text| text.parse().ok()).unwrap_or(0);
    let corrupt = |reason: &str| StoreError::Corrupt { position, reason: reason.to_owned() };
    let subject = text("Nats-Subject").ok_or_else(|| corrupt("no subject"))?.to_owned();
    let stored_at = text("Nats-Time-Stamp").and_then(|text| text.parse().ok()).ok_or_else(|| corrupt("no time"))?;
    record(position, stored_at, subject, &headers, message.payload)
}

/// A record from a subscription.
pub(super) fn from_delivery(delivered: Delivered) -> Result<RawRecord, StoreError> {
    let Delivered { position, stored_at, message } = delivered;
    let headers = message.headers.unwrap_or_default();
    record(position, stored_at, message.subject.into_string(), &headers, message.payload)
}

fn record(
    position: u64,
    stored_at: DateTime<Utc>,
    subject: String,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<RawRecord, StoreError> {
    let key = subject::parse(&subject).ok_or_else(|| StoreError::Corrupt {
        position,
        reason: format!("{subject:?} is not the subject of an aggregate"),
    })?;
    Ok(RawRecord { position, stored_at, subject, key, headers: own_headers(headers), body })
}

/// The headers that were stored with a message.
pub(crate) fn own_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let own = headers.iter().filter(|(name, _)| !READ_HEADERS.contains(&AsRef::<str>::as_ref(name)));
    own.filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string()))).collect()
}

//! Dead letters by tenant, device, reason and time, the newest first.
//!
//! JetStream reads a filtered stream only forward, but each batch says how many messages follow. So the start of a page is searched: the
//! distance from its end grows until there are enough dead letters in between, and is halved while there are far too many. Each step is a
//! request that reads one message. The page itself is one more request.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{DeadLetterReason, LENGTH_HEADER, NOBODY, ORIGIN_HEADER, PREFIX, REASON_HEADER};
use crate::connection::REQUEST_TIMEOUT;
use crate::error::StoreError;
use crate::jetstream::read::{BatchEnd, batch_end, own_headers};
use crate::jetstream_api::{connected, stream_info};
use crate::streams::DEAD_LETTERS;

/// Dead letters of one page.
const LIMIT_MAX: usize = 200;
/// Most dead letters that are read for one page. More than a page, so that the search for its start may end early.
const READ_MAX: u64 = 1_000;
/// Bytes of one batch.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long the next message of a batch may take.
const MESSAGE_TIMEOUT: Duration = REQUEST_TIMEOUT;

/// Which dead letters are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFilter {
    pub tenant: TenantId,
    pub device: Option<DeviceId>,
    pub reason: Option<DeadLetterReason>,
    /// Only those from this time on.
    pub since: Option<DateTime<Utc>>,
}

/// A stored dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// Its sequence number in the stream.
    pub sequence: u64,
    pub stored_at: DateTime<Utc>,
    pub source: String,
    pub device: Option<DeviceId>,
    /// None: of an earlier version, or of a newer one.
    pub reason: Option<DeadLetterReason>,
    pub detail: String,
    pub origin: String,
    /// Cut to a maximum length.
    pub payload: Bytes,
    /// Length of the payload before it was cut, in bytes.
    pub payload_bytes: u64,
}

/// Dead letters, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterPage {
    pub letters: Vec<StoredLetter>,
    /// Whether older ones follow.
    pub more: bool,
}

impl LetterFilter {
    fn subject(&self) -> String {
        let tenant = &self.tenant;
        let device = self.device.as_ref().map_or("*", DeviceId::as_str);
        match self.reason {
            None if self.device.is_none() => format!("{PREFIX}.{tenant}.>"),
            None => format!("{PREFIX}.{tenant}.*.{device}.*"),
            Some(reason) => format!("{PREFIX}.{tenant}.*.{device}.{}", reason.word()),
        }
    }
}

pub(super) async fn read(
    client: &Client,
    filter: &LetterFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<LetterPage, StoreError> {
    let mut reader = Reader::open(client, filter).await?;
    let end = match before {
        Some(before) => before,
        None => stream_info(client, DEAD_LETTERS).await?.state.last_seq.saturating_add(1),
    };
    let limit = limit.clamp(1, LIMIT_MAX);
    let Some(floor) = reader.floor(filter.since).await? else { return Ok(LetterPage { letters: vec![], more: false }) };
    let begin = reader.begin_of_page(floor, end, limit as u64 + 1).await?;
    let mut letters = reader.letters(begin, end).await?;
    let more = letters.len() > limit;
    letters.reverse();
    letters.truncate(limit);
    Ok(LetterPage { letters, more })
}

pub(super) async fn count(client: &Client, filter: &LetterFilter) -> Result<u64, StoreError> {
    let mut reader = Reader::open(client, filter).await?;
    match reader.floor(filter.since).await? {
        Some(floor) => reader.count_from(floor).await,
        None => Ok(0),
    }
}

/// Reads the dead letters of one filter, one request after another.
struct Reader {
    client: Client,
    subject: String,
    inbox: String,
    replies: Subscriber,
    requests: u64,
}

impl Reader {
    async fn open(client: &Client, filter: &LetterFilter) -> Result<Self, StoreError> {
        connected(client)?;
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await.map_err(unavailable)?;
        Ok(Self { client: client.clone(), subject: filter.subject(), inbox, replies, requests: 0 })
    }

    /// The first sequence number that is wanted; none if no dead letter is new enough.
    async fn floor(&mut self, since: Option<DateTime<Utc>>) -> Result<Option<u64>, StoreError> {
        let Some(since) = since else { return Ok(Some(1)) };
        let first = self.batch(json!({ "start_time": since.to_rfc3339() }), 1).await?;
        first.messages.first().map(|message| letter(message).map(|letter| letter.sequence)).transpose()
    }

    /// A sequence number with at least `wanted` dead letters between it and `end`, and not many more; `floor` if there are fewer.
    async fn begin_of_page(&mut self, floor: u64, end: u64, wanted: u64) -> Result<u64, StoreError> {
        // The end is counted last: dead letters that arrive meanwhile can only lower the result.
        let (mut distance, mut too_few) = (wanted, end);
        let mut begin = end.saturating_sub(distance).max(floor);
        while begin > floor && self.count_between(begin, end).await? < wanted {
            too_few = begin;
            distance = distance.saturating_mul(4);
            begin = end.saturating_sub(distance).max(floor);
        }
        while too_few.saturating_sub(begin) > 1 && self.count_between(begin, end).await? > READ_MAX {
            let middle = begin + (too_few - begin) / 2;
            if self.count_between(middle, end).await? >= wanted {
                begin = middle;
            } else {
                too_few = middle;
            }
        }
        Ok(begin)
    }

    async fn count_between(&mut self, begin: u64, end: u64) -> Result<u64, StoreError> {
        let from_begin = self.count_from(begin).await?;
        Ok(from_begin.saturating_sub(self.count_from(end).await?))
    }

    /// How many dead letters there are from a sequence number on.
    async fn count_from(&mut self, sequence: u64) -> Result<u64, StoreError> {
        let batch = self.batch(json!({ "seq": sequence.max(1) }), 1).await?;
        Ok(batch.messages.len() as u64 + batch.pending)
    }

    /// All dead letters between two sequence numbers, the oldest first.
    async fn letters(&mut self, begin: u64, end: u64) -> Result<Vec<StoredLetter>, StoreError> {
        let (mut found, mut next) = (Vec::new(), begin);
        while next < end {
            let batch = self.batch(json!({ "seq": next.max(1) }), READ_MAX).await?;
            for message in &batch.messages {
                let letter = letter(message)?;
                next = letter.sequence + 1;
                if letter.sequence < end {
                    found.push(letter);
                }
            }
            if batch.pending == 0 || batch.messages.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn batch(&mut self, from: Value, batch: u64) -> Result<Batch, StoreError> {
        self.requests += 1;
        let reply = format!("{}.{}", self.inbox, self.requests);
        let mut request = from;
        request["next_by_subj"] = self.subject.as_str().into();
        request["batch"] = batch.into();
        request["max_bytes"] = BATCH_BYTES.into();
        let api = format!("$JS.API.DIRECT.GET.{DEAD_LETTERS}");
        let body = Bytes::from(request.to_string());
        self.client.publish_with_reply(api, reply.clone(), body).await.map_err(unavailable)?;
        let mut messages = Vec::new();
        loop {
            let message = timeout(MESSAGE_TIMEOUT, self.replies.next()).await;
            let message = message.ok().flatten();
            let message = message.ok_or_else(|| StoreError::Unavailable("JetStream gave no answer in time".into()))?;
            if message.subject.as_str() != reply {
                continue;
            }
            match batch_end(&message)? {
                None => messages.push(message),
                Some(BatchEnd { last, pending }) => {
                    let came = messages.last().and_then(|message| number(message, "Nats-Sequence"));
                    if last.is_some() && last != came {
                        return Err(StoreError::Unavailable("replies were lost".to_owned()));
                    }
                    return Ok(Batch { messages, pending });
                }
            }
        }
    }
}

struct Batch {
    messages: Vec<Message>,
    /// How many more follow the last one.
    pending: u64,
}

fn letter(message: &Message) -> Result<StoredLetter, StoreError> {
    let headers = message.headers.clone().unwrap_or_default();
    let sequence = number(message, "Nats-Sequence").unwrap_or(0);
    let corrupt = |reason: &str| StoreError::Corrupt { position: sequence, reason: reason.to_owned() };
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    let subject = text("Nats-Subject").ok_or_else(|| corrupt("no subject"))?;
    let stored_at = text("Nats-Time-Stamp").and_then(|text| text.parse().ok()).ok_or_else(|| corrupt("no time"))?;
    let own: BTreeMap<String, String> = own_headers(&headers);
    let own = |name: &str| own.get(name).cloned().unwrap_or_default();
    let tokens: Vec<&str> = subject.split('.').collect();
    let device = tokens.get(3).filter(|device| **device != NOBODY);
    Ok(StoredLetter {
        sequence,
        stored_at,
        source: (*tokens.get(2).unwrap_or(&"")).to_owned(),
        device: device.and_then(|device| DeviceId::new(*device).ok()),
        reason: tokens.get(4).and_then(|word| DeadLetterReason::parse(word)),
        detail: own(REASON_HEADER),
        origin: own(ORIGIN_HEADER),
        payload_bytes: own(LENGTH_HEADER).parse().unwrap_or(message.payload.len() as u64),
        payload: message.payload.clone(),
    })
}

fn number(message: &Message, name: &str) -> Option<u64> {
    message.headers.as_ref()?.get(name)?.as_str().parse().ok()
}

fn unavailable(error: impl std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_subject_of_one_tenant() {
        let mut filter =
            LetterFilter { tenant: TenantId::new("acme").unwrap(), device: None, reason: None, since: None };
        assert_eq!(filter.subject(), "dead.acme.>", "dead letters of earlier versions, too");
        filter.reason = Some(DeadLetterReason::Malformed);
        assert_eq!(filter.subject(), "dead.acme.*.*.malformed");
        filter.device = Some(DeviceId::new("AA:BB").unwrap());
        assert_eq!(filter.subject(), "dead.acme.*.AA:BB.malformed");
        filter.reason = None;
        assert_eq!(filter.subject(), "dead.acme.*.AA:BB.*");
    }
}

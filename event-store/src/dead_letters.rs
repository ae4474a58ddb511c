//! Dead letters: messages of devices that could not be accepted, or only in part, kept with the reason. Bounded by age and size.
//!
//! Stream DEAD_LETTERS, subject `dead.{tenant or _}.{source}.{device or _}.{reason}`, so that dead letters of one tenant, one device or one
//! reason are found by subject ([`page`]). Earlier versions used `dead.{tenant or _}.{source}`. Payloads come from untrusted senders, so
//! they are cut to a maximum length.

mod page;
mod reason;

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use domain::{DeviceId, TenantId};

pub use page::{LetterFilter, LetterPage, StoredLetter};
pub use reason::DeadLetterReason;

use crate::error::{AppendError, StoreError};
use crate::header_text::{self, header_text};
use crate::jetstream::append::publish;
use crate::streams::DEAD_LETTERS;
use crate::subject::is_token;

/// Bytes of a payload that are kept.
pub const PAYLOAD_MAX_BYTES: usize = 4 * 1024;
/// Bytes of a detail, and of an origin, that are kept.
pub const TEXT_MAX_BYTES: usize = header_text::TEXT_MAX_BYTES;
/// Largest dead letter, in bytes, headers not counted.
const MESSAGE_MAX_BYTES: usize = PAYLOAD_MAX_BYTES;

/// Header: what is wrong with the message, for people.
pub const REASON_HEADER: &str = "Waybill-Reason";
/// Header: where it came from, such as an MQTT topic.
pub const ORIGIN_HEADER: &str = "Waybill-Origin";
/// Header: length of the payload before it was cut, in bytes.
pub const LENGTH_HEADER: &str = "Waybill-Length";

const PREFIX: &str = "dead";
/// Placeholder for a tenant or device that is not known.
const NOBODY: &str = "_";

/// A message that was refused.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// The tenant, if known.
    pub tenant: Option<&'a TenantId>,
    /// The device that sent it, according to the message.
    pub device: Option<&'a DeviceId>,
    /// The part that refused it, one subject token: `mqtt`, `chirpstack`, …
    pub source: &'static str,
    /// Where it came from: topic or route.
    pub origin: &'a str,
    pub reason: DeadLetterReason,
    /// What is wrong, for people.
    pub detail: &'a str,
    pub payload: &'a [u8],
}

/// The stream DEAD_LETTERS.
#[derive(Clone)]
pub struct DeadLetters {
    client: Client,
}

impl DeadLetters {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Keeps a message; returns its sequence number once it is stored.
    pub async fn keep(&self, letter: DeadLetter<'_>) -> Result<u64, AppendError> {
        let mut headers = HeaderMap::new();
        headers.insert(REASON_HEADER, header_text(letter.detail));
        headers.insert(ORIGIN_HEADER, header_text(letter.origin));
        headers.insert(LENGTH_HEADER, letter.payload.len().to_string());
        let kept = &letter.payload[..letter.payload.len().min(PAYLOAD_MAX_BYTES)];
        let body = Bytes::copy_from_slice(kept);
        publish(&self.client, DEAD_LETTERS, subject(&letter), headers, body, MESSAGE_MAX_BYTES).await
    }

    /// One page of a tenant's dead letters, the newest first: those with a sequence number below `before`, at most `limit`. The number of
    /// requests is bounded, independent of the number of dead letters.
    pub async fn page(
        &self,
        filter: &LetterFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<LetterPage, StoreError> {
        page::read(&self.client, filter, before, limit).await
    }

    /// How many dead letters of a tenant match a filter.
    pub async fn count(&self, filter: &LetterFilter) -> Result<u64, StoreError> {
        page::count(&self.client, filter).await
    }
}

fn subject(letter: &DeadLetter<'_>) -> String {
    let source = if is_token(letter.source) { letter.source } else { "other" };
    let tenant = letter.tenant.map_or(NOBODY, TenantId::as_str);
    let device = letter.device.map_or(NOBODY, DeviceId::as_str);
    format!("{PREFIX}.{tenant}.{source}.{device}.{}", letter.reason.word())
}

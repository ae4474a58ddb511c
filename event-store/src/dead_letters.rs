//! Messages that could not be understood, kept with the reason, bounded by age and size.
//!
//! Stream DEAD_LETTERS, subject `dead.{tenant or _}.{source}`. Payloads come from anybody, so they are cut to a bound.

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use domain::TenantId;

use crate::error::AppendError;
use crate::jetstream::append::publish;
use crate::streams::DEAD_LETTERS;
use crate::subject::is_token;

/// Bytes of a payload that are kept.
pub const PAYLOAD_MAX_BYTES: usize = 4 * 1024;
/// Bytes of a reason, and of an origin, that are kept.
pub const TEXT_MAX_BYTES: usize = 256;
/// Largest dead letter, in bytes, headers not counted.
const MESSAGE_MAX_BYTES: usize = PAYLOAD_MAX_BYTES;

/// Header: why the message was refused.
pub const REASON_HEADER: &str = "Waybill-Reason";
/// Header: where it came from, such as an MQTT topic.
pub const ORIGIN_HEADER: &str = "Waybill-Origin";
/// Header: length of the payload before it was cut, in bytes.
pub const LENGTH_HEADER: &str = "Waybill-Length";

/// A message that was refused.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// Whose it is, if that could be told.
    pub tenant: Option<&'a TenantId>,
    /// Which part refused it, one subject token: `mqtt`, `chirpstack`, …
    pub source: &'static str,
    /// Where it came from: topic or route.
    pub origin: &'a str,
    pub reason: &'a str,
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
        headers.insert(REASON_HEADER, header_text(letter.reason));
        headers.insert(ORIGIN_HEADER, header_text(letter.origin));
        headers.insert(LENGTH_HEADER, letter.payload.len().to_string());
        let kept = &letter.payload[..letter.payload.len().min(PAYLOAD_MAX_BYTES)];
        let body = Bytes::copy_from_slice(kept);
        publish(&self.client, DEAD_LETTERS, subject(&letter), headers, body, MESSAGE_MAX_BYTES).await
    }
}

fn subject(letter: &DeadLetter<'_>) -> String {
    let source = if is_token(letter.source) { letter.source } else { "other" };
    format!("dead.{}.{source}", letter.tenant.map_or("_", TenantId::as_str))
}

/// The text as far as it can stand in a header: printable ASCII, cut to the bound.
fn header_text(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(TEXT_MAX_BYTES).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_become_harmless_headers() {
        assert_eq!(header_text("a\r\nEvil: é"), "a??Evil: ?");
        assert_eq!(header_text(&"x".repeat(1_000)).len(), TEXT_MAX_BYTES);
    }
}

//! Appends one message to a stream: a record to its subject, if the aggregate has no newer record.
//!
//! Two codes mean a conflict: 10071 names the sequence number that was found, 10164 says that another append to the subject is under way
//! (the usual one on a cluster).

use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_EXPECTED_STREAM};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;

use super::APPEND_TIMEOUT;
use crate::error::AppendError;
use crate::jetstream_api::{Answer, ApiError, connected};
use crate::log::RECORD_MAX_BYTES;
use crate::streams;

const WRONG_LAST_SEQUENCE: u64 = 10_071;
const WRONG_LAST_SEQUENCE_IN_PROCESS: u64 = 10_164;
const MESSAGE_TOO_LARGE: u64 = 10_054;
/// No room: the limits of the account, of the server (JetStream's `max_file`, two codes) and of the stream, or a write that failed.
const NO_SPACE: [u64; 4] = [10_002, 10_023, 10_047, 10_077];

#[derive(serde::Deserialize)]
struct Ack {
    seq: u64,
}

/// Appends to EVENTS under the expectation that `expected_last` is the subject's last sequence number.
pub(super) async fn append(
    client: &Client,
    subject: String,
    expected_last: u64,
    body: Bytes,
) -> Result<u64, AppendError> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected_last.to_string());
    publish(client, streams::EVENTS, subject, headers, body, RECORD_MAX_BYTES).await
}

/// Stores a message in a stream and waits for the acknowledgement.
pub(crate) async fn publish(
    client: &Client,
    stream: &'static str,
    subject: String,
    mut headers: HeaderMap,
    body: Bytes,
    max_bytes: usize,
) -> Result<u64, AppendError> {
    let bytes = body.len();
    if bytes > max_bytes {
        return Err(AppendError::TooLarge { bytes, max_bytes });
    }
    connected(client).map_err(|error| AppendError::Unavailable(error.to_string()))?;
    headers.insert(NATS_EXPECTED_STREAM, stream);
    let request = Request::new().headers(headers).payload(body).timeout(None);
    let answered = tokio::time::timeout(APPEND_TIMEOUT, client.send_request(subject, request)).await;
    let message = match answered {
        Ok(Ok(message)) => message,
        Ok(Err(error)) => return Err(not_sent(&error, bytes)),
        Err(_) => return Err(AppendError::Ambiguous(format!("nothing in {} s", APPEND_TIMEOUT.as_secs()))),
    };
    match serde_json::from_slice::<Answer<Ack>>(&message.payload) {
        Ok(Answer::Ok(ack)) => Ok(ack.seq),
        Ok(Answer::Err { error }) => Err(refused(&error, bytes)),
        Err(error) => Err(AppendError::Ambiguous(format!("the acknowledgement can't be read: {error}"))),
    }
}

fn not_sent(error: &async_nats::RequestError, bytes: usize) -> AppendError {
    match error.kind() {
        RequestErrorKind::NoResponders => AppendError::NoLeader,
        RequestErrorKind::MaxPayloadExceeded => AppendError::TooLarge { bytes, max_bytes: RECORD_MAX_BYTES },
        RequestErrorKind::InvalidSubject => AppendError::Refused(error.to_string()),
        RequestErrorKind::TimedOut | RequestErrorKind::Other => AppendError::Ambiguous(error.to_string()),
    }
}

fn refused(error: &ApiError, bytes: usize) -> AppendError {
    let text = format!("{} ({})", error.description, error.err_code);
    match error.err_code {
        WRONG_LAST_SEQUENCE => AppendError::Conflict { last: last_named_in(&error.description) },
        WRONG_LAST_SEQUENCE_IN_PROCESS => AppendError::Conflict { last: None },
        MESSAGE_TOO_LARGE => AppendError::TooLarge { bytes, max_bytes: RECORD_MAX_BYTES },
        code if NO_SPACE.contains(&code) => AppendError::NoSpace(text),
        _ if error.code == 503 => AppendError::Unavailable(text),
        _ => AppendError::Refused(text),
    }
}

/// The number in "wrong last sequence: 13".
fn last_named_in(description: &str) -> Option<u64> {
    description.rsplit_once(": ")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, err_code: u64, description: &str) -> AppendError {
        refused(&ApiError { code, err_code, description: description.to_owned() }, 1)
    }

    #[test]
    fn both_codes_are_conflicts() {
        assert!(matches!(error(400, 10_071, "wrong last sequence: 13"), AppendError::Conflict { last: Some(13) }));
        assert!(matches!(error(400, 10_164, "wrong last sequence"), AppendError::Conflict { last: None }));
    }

    #[test]
    fn a_full_store_is_told_from_both() {
        for (code, err_code, description) in [
            (503, 10_023, "insufficient resources"),
            (500, 10_047, "insufficient storage resources available"),
            (400, 10_002, "resource limits exceeded for account"),
            (503, 10_077, "maximum bytes exceeded"),
        ] {
            assert!(matches!(error(code, err_code, description), AppendError::NoSpace(_)), "{err_code}");
        }
    }

    #[test]
    fn a_missing_leader_is_told_from_a_refusal() {
        assert!(matches!(error(503, 10_008, "temporarily unavailable"), AppendError::Unavailable(_)));
        assert!(matches!(error(400, 10_060, "expected stream does not match"), AppendError::Refused(_)));
        assert!(matches!(error(400, 10_054, "message size exceeds maximum allowed"), AppendError::TooLarge { .. }));
    }
}

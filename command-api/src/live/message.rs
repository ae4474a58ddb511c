//! A message of a stream, made once for all who get it.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_store::PositionToken;
use serde::Serialize;

use super::coalescer::Batch;

/// Longest silence of a stream.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Why a client must read everything again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ResyncReason {
    /// It took its messages too slowly; the stream ends.
    TooSlow,
    /// What changed since its position is no longer kept.
    TooOld,
    /// Its position is one that the log has not reached.
    Future,
    /// Its position is of another log, or the log was replaced; in that case the stream ends.
    OtherLog,
}

impl ResyncReason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::TooSlow => "too_slow",
            Self::TooOld => "too_old",
            Self::Future => "future",
            Self::OtherLog => "other_log",
        }
    }
}

/// A message in both of its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// An event of `text/event-stream`.
    pub(super) event: Bytes,
    /// The same for a WebSocket.
    pub(super) text: Utf8Bytes,
    pub(super) is_heartbeat: bool,
}

/// The JSON of a message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body<'a> {
    Hello { position: String, heartbeat_s: u64 },
    Changes { position: String, time: DateTime<Utc>, changes: Vec<ChangeBody<'a>> },
    Heartbeat { position: String },
    Resync { position: String, reason: ResyncReason },
    End { reason: &'a str, retry_ms: u32 },
}

#[derive(Debug, Serialize)]
struct ChangeBody<'a> {
    subject: SubjectBody<'a>,
    types: Vec<&'a str>,
    count: u64,
    position: String,
    time: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
struct SubjectBody<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl Message {
    /// The first message. A client that is still to be told of the past goes on from what it had until then.
    pub(super) fn hello(position: PositionToken, is_resumable: bool) -> Self {
        let body = Body::Hello { position: position.to_string(), heartbeat_s: HEARTBEAT.as_secs() };
        Self::of("hello", is_resumable.then_some(position), None, &body)
    }

    /// Everything up to a position.
    pub(super) fn changes(position: PositionToken, batch: &Batch) -> Self {
        let token = |sequence| PositionToken { sequence, ..position }.to_string();
        let changes = batch.changes.iter().map(|((kind, id), summary)| ChangeBody {
            subject: SubjectBody { kind: kind.word(), id: id.as_deref() },
            types: summary.types.iter().map(AsRef::as_ref).collect(),
            count: summary.count,
            position: token(summary.position),
            time: summary.time,
        });
        let changes: Vec<_> = changes.collect();
        let time = changes.iter().map(|change| change.time).max().unwrap_or(batch.since);
        let body = Body::Changes { position: position.to_string(), time, changes };
        Self::of("changes", Some(position), None, &body)
    }

    pub(super) fn heartbeat(position: PositionToken) -> Self {
        let body = Body::Heartbeat { position: position.to_string() };
        Self { is_heartbeat: true, ..Self::of("heartbeat", Some(position), None, &body) }
    }

    pub(super) fn resync(position: PositionToken, reason: ResyncReason) -> Self {
        let body = Body::Resync { position: position.to_string(), reason };
        Self::of("resync", Some(position), None, &body)
    }

    /// The last message of a stream that the service ends.
    pub(super) fn end(reason: &str, retry_ms: u32) -> Self {
        Self::of("end", None, Some(retry_ms), &Body::End { reason, retry_ms })
    }

    fn of(name: &str, id: Option<PositionToken>, retry_ms: Option<u32>, body: &Body<'_>) -> Self {
        // A body has nothing that JSON can't say.
        let text = serde_json::to_string(body).unwrap_or_default();
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        let retry = retry_ms.map(|ms| format!("retry: {ms}\n")).unwrap_or_default();
        let event = format!("{id}{retry}event: {name}\ndata: {text}\n\n");
        Self { event: event.into(), text: text.into(), is_heartbeat: false }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::live::change::Kind;
    use crate::live::coalescer::Summary;

    #[test]
    fn a_message_has_one_form_for_each_transport() {
        let position = PositionToken { incarnation_ms: 1_790_000_000_123, sequence: 42 };
        let time = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let types = BTreeSet::from(["update.failed".into()]);
        let summary = Summary { types, count: 3, position: 41, time };
        let changes = vec![((Kind::Campaign, Some("c-1".into())), summary.clone()), ((Kind::Device, None), summary)];
        let message = Message::changes(position, &Batch { changes, since: time });
        let one = |subject: &str| {
            format!(
                r#"{{"subject":{{{subject}}},"types":["update.failed"],"count":3,"position":"1790000000123-41","time":"2027-01-15T08:00:00Z"}}"#
            )
        };
        let (campaign, others) = (one(r#""kind":"campaign","id":"c-1""#), one(r#""kind":"device""#));
        let text = format!(
            r#"{{"type":"changes","position":"1790000000123-42","time":"2027-01-15T08:00:00Z","changes":[{campaign},{others}]}}"#
        );
        assert_eq!(message.text.as_str(), text);
        let event = format!("id: 1790000000123-42\nevent: changes\ndata: {text}\n\n");
        assert_eq!(message.event, event);
        let end = Message::end("stopping", 700);
        assert_eq!(
            end.event,
            "retry: 700\nevent: end\ndata: {\"type\":\"end\",\"reason\":\"stopping\",\"retry_ms\":700}\n\n"
        );
        assert!(!Message::hello(position, false).event.starts_with(b"id:"));
    }
}

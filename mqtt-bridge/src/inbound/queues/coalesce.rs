//! Decides which messages of a device replace each other: of two messages with the same key only the newer one counts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::super::{Arrived, Inbound};
use crate::topics::Channel;
use crate::wire::{InfoMessage, PresenceMessage, PresenceWord, RunReport, StatusReport};

/// Each kind of message has a rate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Presence,
    Report,
    Info,
    Measurements,
    /// A report on a command beside updates.
    RunReport,
    /// A piece of a log.
    Log,
    /// A request for the command, or an unknown topic.
    Other,
}

/// Key of a message: a later message with the same key replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CoalesceKey {
    /// An `online` status.
    Online,
    Offline,
    Info,
    Measurements,
    Asks,
    /// A hash of update, attempt, status, code and digest, progress is not included; of command, status and code; or of a piece of a log.
    Report(u64),
    /// A message that can't be parsed.
    Unreadable,
}

/// What the queues need of a message.
pub(super) trait Coalesced {
    fn kind(&self) -> Kind;
    /// Parses the message, so it should not be called for each message.
    fn coalesce_key(&self) -> CoalesceKey;
    /// The broker's store, and the message's number in it. A redelivered message keeps its number.
    fn number(&self) -> Option<(u64, u64)>;

    /// Whether it arrived before another one, as far as known.
    fn is_older_than(&self, other: &Self) -> bool {
        matches!((self.number(), other.number()), (Some(this), Some(other)) if this.0 == other.0 && this.1 < other.1)
    }
}

impl Kind {
    /// The label of metrics and log lines.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Report => "report",
            Self::Info => "info",
            Self::Measurements => "telemetry",
            Self::RunReport => "run_report",
            Self::Log => "log",
            Self::Other => "other",
        }
    }
}

impl Coalesced for Arc<Inbound> {
    fn kind(&self) -> Kind {
        // A message that the broker doesn't store never replaces one that it stores.
        let channel = self.topic.as_ref().map(|topic| topic.channel);
        let replaces_none = matches!(channel, Ok(Channel::Telemetry | Channel::UpdateLog { .. }));
        if self.arrived != Arrived::Stored && !replaces_none {
            return Kind::Other;
        }
        match channel {
            Ok(Channel::Status) => Kind::Presence,
            Ok(Channel::UpdateStatus { .. }) => Kind::Report,
            Ok(Channel::Info) => Kind::Info,
            Ok(Channel::Telemetry) => Kind::Measurements,
            Ok(Channel::RunStatus { .. }) => Kind::RunReport,
            Ok(Channel::UpdateLog { .. }) => Kind::Log,
            _ => Kind::Other,
        }
    }

    fn coalesce_key(&self) -> CoalesceKey {
        match &self.topic {
            Ok(topic) if self.arrived != Arrived::Retained => coalesce_key(topic.channel, &self.payload),
            _ => CoalesceKey::Unreadable,
        }
    }

    fn number(&self) -> Option<(u64, u64)> {
        self.delivery.map(|delivery| (delivery.incarnation_ms, delivery.number))
    }
}

fn coalesce_key(channel: Channel, payload: &[u8]) -> CoalesceKey {
    match channel {
        Channel::Status => presence(payload),
        Channel::UpdateStatus { ordinal } => report(ordinal, payload),
        Channel::Info if InfoMessage::read(payload).is_ok_and(|message| message.to_info().is_ok()) => CoalesceKey::Info,
        Channel::Telemetry => CoalesceKey::Measurements,
        Channel::CommandsGet => CoalesceKey::Asks,
        Channel::RunStatus { n } => run_report(n, payload),
        Channel::UpdateLog { ordinal } => hashed((ordinal, payload)),
        _ => CoalesceKey::Unreadable,
    }
}

fn presence(payload: &[u8]) -> CoalesceKey {
    match PresenceMessage::read(payload) {
        Ok(message) if message.to_presence().is_ok() && message.to_contact().is_ok() => match message.status {
            PresenceWord::Online => CoalesceKey::Online,
            PresenceWord::Offline => CoalesceKey::Offline,
        },
        _ => CoalesceKey::Unreadable,
    }
}

fn report(ordinal: u32, payload: &[u8]) -> CoalesceKey {
    let Ok(Ok(report)) = StatusReport::read(payload).map(|message| message.to_report(ordinal)) else {
        return CoalesceKey::Unreadable;
    };
    let sha256 = report.sha256.map(|sha256| sha256.to_string());
    hashed((report.ordinal, report.attempt, report.status.word(), report.code, sha256))
}

fn run_report(n: u32, payload: &[u8]) -> CoalesceKey {
    match RunReport::read(payload).and_then(|message| message.to_report(n)) {
        Ok(report) => hashed((n, report.status.word(), report.code)),
        Err(_) => CoalesceKey::Unreadable,
    }
}

fn hashed(content: impl Hash) -> CoalesceKey {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    CoalesceKey::Report(hasher.finish())
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, TenantId};

    use super::*;
    use crate::inbound::Ack;
    use crate::topics::DeviceTopic;

    #[test]
    fn only_what_replaces_nothing_has_its_rate_with_any_quality_of_service() {
        let kind = |channel, arrived| {
            let topic = DeviceTopic::new(&TenantId::new("acme").unwrap(), &DeviceId::new("d-1").unwrap(), channel);
            let payload = bytes::Bytes::from_static(b"text");
            Arc::new(Inbound { topic: Ok(topic), arrived, payload, delivery: None, ack: Ack::none(), origin: None })
                .kind()
        };
        for arrived in [Arrived::Stored, Arrived::Unstored, Arrived::Retained] {
            assert_eq!(kind(Channel::UpdateLog { ordinal: 1 }, arrived), Kind::Log);
            assert_eq!(kind(Channel::Telemetry, arrived), Kind::Measurements);
        }
        assert_eq!(kind(Channel::UpdateStatus { ordinal: 1 }, Arrived::Stored), Kind::Report);
        assert_eq!(kind(Channel::UpdateStatus { ordinal: 1 }, Arrived::Unstored), Kind::Other);
    }

    #[test]
    fn reports_with_different_content_have_different_keys() {
        let key = |ordinal, json: &str| coalesce_key(Channel::UpdateStatus { ordinal }, json.as_bytes());
        let half = key(1, r#"{"attempt":1,"status":"downloading","progress":50}"#);
        assert_eq!(half, key(1, r#"{"attempt":1,"status":"downloading","progress":60}"#));
        for other in [
            key(2, r#"{"attempt":1,"status":"downloading"}"#),
            key(1, r#"{"attempt":2,"status":"downloading"}"#),
            key(1, r#"{"attempt":1,"status":"verifying"}"#),
            key(1, r#"{"attempt":1,"status":"downloading","code":"busy"}"#),
        ] {
            assert_ne!(half, other);
        }
        assert_eq!(key(1, "{"), CoalesceKey::Unreadable);
        let run = |n, json: &str| coalesce_key(Channel::RunStatus { n }, json.as_bytes());
        let done = run(1, r#"{"status":"done","message":"a"}"#);
        assert_eq!(done, run(1, r#"{"status":"done","message":"b"}"#));
        assert_ne!(done, run(2, r#"{"status":"done"}"#));
        let log = |text: &str| coalesce_key(Channel::UpdateLog { ordinal: 1 }, text.as_bytes());
        assert!(log("a") == log("a") && log("a") != log("b"));
    }

    #[test]
    fn an_unreadable_message_never_replaces_a_readable_one() {
        assert_eq!(coalesce_key(Channel::Status, br#"{"status":"online"}"#), CoalesceKey::Online);
        assert_eq!(coalesce_key(Channel::Status, br#"{"status":"offline"}"#), CoalesceKey::Offline);
        assert_eq!(coalesce_key(Channel::Status, br#"{"status":"online","boot_id":{}}"#), CoalesceKey::Unreadable);
        assert_eq!(coalesce_key(Channel::Info, br#"{"slots":0}"#), CoalesceKey::Unreadable);
    }
}

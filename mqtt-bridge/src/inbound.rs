//! Messages of devices on their way into the log.
//!
//! A source delivers, the queues keep the messages of one device in order of arrival, the handler turns each into a command, a telemetry
//! message or a dead letter. Invariant: a message is acknowledged to the broker only after what follows from it is stored; whatever
//! can't be stored now is asked for again later.

mod answers;
mod backlog;
mod handler;
mod intake_error;
mod limits;
mod merge;
pub(crate) mod mqtt_msgs;
mod queues;
mod unfinished;
pub(crate) mod unstored;
mod watermark_publisher;

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::Acker;
use bytes::Bytes;
use domain::device::{Mark, MarkTopic};
use domain::{DeviceId, TenantId};

pub(crate) use answers::Answers;
pub use backlog::Backlog;
pub(crate) use backlog::measure as measure_backlog;
pub(crate) use handler::Handler;
pub(crate) use queues::Queues;
pub(crate) use unfinished::{Settled, Unfinished};

use crate::topics::{DeviceTopic, UnknownTopic};

/// A message of a device, or of something that pretends to be one.
pub(crate) struct Inbound {
    pub(crate) topic: Result<DeviceTopic, UnknownTopic>,
    pub(crate) arrived: Arrived,
    pub(crate) payload: Bytes,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) ack: Ack,
}

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// The broker keeps it until it is acknowledged.
    Stored,
    /// As it was published, and not stored: with QoS 0, or on a topic that no consumer reads.
    Unstored,
    /// As the copy that the broker keeps for later subscribers. The message itself comes, too.
    Retained,
}

impl Inbound {
    /// Whose it is, as far as the topic tells.
    pub(crate) fn owner(&self) -> (Option<TenantId>, Option<DeviceId>) {
        match &self.topic {
            Ok(topic) => (Some(topic.tenant.clone()), Some(topic.device.clone())),
            Err(unknown) => unknown.owner(),
        }
    }

    /// The topic as MQTT writes it.
    pub(crate) fn topic_text(&self) -> String {
        self.topic.as_ref().map_or_else(|unknown| unknown.0.clone(), DeviceTopic::to_string)
    }
}

/// Names a message for ever, however often it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// When the broker's store was created, in milliseconds since 1970: its numbers begin anew with it.
    pub(crate) incarnation_ms: u64,
    pub(crate) number: u64,
    /// How often it has been delivered, this time included.
    pub(crate) times: u32,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that follows from it is stored.
    Done,
    /// It can't be stored now: it is wanted again after this time.
    Retry(Duration),
}

/// The way back to the source of a message; none for what nobody keeps.
pub(crate) struct Ack {
    kept: Option<Kept>,
}

struct Kept {
    acker: Acker,
    /// The message's number; 0 where the source has none.
    number: u64,
    settled: Settled,
}

impl Delivery {
    /// The message's place in the order of what its device says.
    pub(crate) fn mark(self, topic: MarkTopic) -> Mark {
        Mark { topic, incarnation_ms: self.incarnation_ms, sequence: self.number }
    }
}

impl Ack {
    pub(crate) fn of(acker: Acker, number: u64, settled: Settled) -> Self {
        Self { kept: Some(Kept { acker, number, settled }) }
    }

    /// Whether this process has acknowledged the message of this number just now.
    fn has_settled(&self, number: u64) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.settled.contains(number))
    }

    pub(crate) fn none() -> Self {
        Self { kept: None }
    }

    pub(crate) async fn settle(&self, verdict: Verdict) {
        let kind = match verdict {
            Verdict::Done => AckKind::Ack,
            Verdict::Retry(pause) => AckKind::Nak(Some(pause)),
        };
        let Some(kept) = &self.kept else { return };
        if verdict == Verdict::Done {
            kept.settled.record(kept.number);
        }
        // Unsent, it is delivered again when its time is over.
        if let Err(error) = kept.acker.ack_with(kind).await {
            tracing::debug!(%error, "the broker can't be told what became of a message");
        }
    }
}

//! Processes messages of devices.
//!
//! A source delivers messages, the queues keep the messages of one device in order of arrival, and the handler turns each into a command, a
//! telemetry message or a dead letter. Invariant: a message is acknowledged to the broker only after its effects are stored. A message that
//! can't be stored now is redelivered later.

mod answers;
mod backlog;
mod durables;
mod handler;
mod intake_error;
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
use domain::device::{Frame, Mark, MarkTopic};
use domain::{DeviceId, TenantId};
use event_store::telemetry::BrokerPlace;

pub(crate) use answers::Answers;
pub use backlog::Backlog;
pub(crate) use backlog::measure as measure_backlog;
pub(crate) use handler::{Handled, Handler};
pub(crate) use intake_error::IntakeError;
pub(crate) use queues::Queues;
pub(crate) use unfinished::{Settled, Unfinished};

use crate::topics::{DeviceTopic, UnknownTopic};

/// A message from a device topic. nats-server accepts it from that device only, unless devices are anonymous.
pub(crate) struct Inbound {
    pub(crate) topic: Result<DeviceTopic, UnknownTopic>,
    pub(crate) arrived: Arrived,
    pub(crate) payload: Bytes,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) ack: Ack,
    /// Where it came from, for people, if no device published it.
    pub(crate) origin: Option<String>,
}

/// How a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// The broker keeps it until it is acknowledged.
    Stored,
    /// Passed on and not stored by the broker: published with QoS 0, or on a topic that no consumer reads.
    Unstored,
    /// The retained copy for later subscribers. The message itself arrives too.
    Retained,
}

impl Inbound {
    /// Tenant and device, as far as the topic names them.
    pub(crate) fn owner(&self) -> (Option<TenantId>, Option<DeviceId>) {
        match &self.topic {
            Ok(topic) => (Some(topic.tenant.clone()), Some(topic.device.clone())),
            Err(unknown) => unknown.owner(),
        }
    }

    /// The topic as MQTT writes it, or where the message came from.
    pub(crate) fn topic_text(&self) -> String {
        if let Some(origin) = &self.origin {
            return origin.clone();
        }
        self.topic.as_ref().map_or_else(|unknown| unknown.0.clone(), DeviceTopic::to_string)
    }
}

/// Who numbers messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// The broker, in the order in which devices have published.
    Broker,
    /// The queue of events of network servers, which don't come in order. One event may give several messages, each with its part. An uplink
    /// has a frame.
    Network { part: u8, frame: Option<Frame> },
}

/// Identifies a message, however often it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) numbering: Numbering,
    /// Creation time of the broker's store, in milliseconds since 1970. The numbers of a new store start from 1.
    pub(crate) incarnation_ms: u64,
    pub(crate) number: u64,
    /// How often it was delivered, this time included.
    pub(crate) times: u32,
}

/// What the broker is told about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its effects are stored: acknowledge it.
    Done,
    /// It can't be stored now: redeliver it after this time.
    Retry(Duration),
}

/// Acknowledges a message to its source. Does nothing for a message that the broker does not store.
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
    /// The message's position in the order of its device's messages, if there is one.
    pub(crate) fn mark(self, topic: MarkTopic) -> Option<Mark> {
        let Self { incarnation_ms, number: sequence, .. } = self;
        match self.numbering {
            Numbering::Broker => Some(Mark { topic, incarnation_ms, sequence, frame: None }),
            Numbering::Network { frame, .. } if topic == MarkTopic::Status => {
                Some(Mark { topic: MarkTopic::Uplink, incarnation_ms, sequence, frame })
            }
            Numbering::Network { .. } => None,
        }
    }

    /// The same for telemetry.
    pub(crate) fn place(self) -> Option<BrokerPlace> {
        let place = BrokerPlace { incarnation_ms: self.incarnation_ms, sequence: self.number };
        (self.numbering == Numbering::Broker).then_some(place)
    }

    /// A name of the message within its store, with the same form for each delivery.
    pub(crate) fn name(self) -> [String; 3] {
        let store = match self.numbering {
            Numbering::Broker => "mqtt".to_owned(),
            Numbering::Network { part, .. } => format!("network-{part}"),
        };
        [store, self.incarnation_ms.to_string(), self.number.to_string()]
    }
}

impl Ack {
    pub(crate) fn of(acker: Acker, number: u64, settled: Settled) -> Self {
        Self { kept: Some(Kept { acker, number, settled }) }
    }

    /// Whether this process has recently acknowledged the message with this number.
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
        // If this fails, the message is redelivered after the acknowledgement timeout.
        if let Err(error) = kept.acker.ack_with(kind).await {
            tracing::debug!(%error, "a message can't be acknowledged");
        }
    }
}

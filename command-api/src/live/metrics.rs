//! Metrics of streams.

use chrono::TimeDelta;
use event_store::metering::{self, Metric, PLAIN};

use super::message::ResyncReason;

const STREAMS: &str = "waybill_live_streams";
const MESSAGES: &str = "waybill_live_messages_total";
const RESYNCS: &str = "waybill_live_resyncs_total";
const LEFT_BEHIND: &str = "waybill_live_clients_left_behind_total";
const ENDED: &str = "waybill_live_streams_ended_total";
const DELAY: &str = "waybill_live_delay_seconds";

/// How a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Events,
    WebSocket,
}

/// Why the service ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The process stops.
    Stopping,
    /// Its caller may no longer have it.
    Refused,
    /// It can't be found out whether they may.
    Unavailable,
    /// The client of a WebSocket answers no ping.
    Silent,
}

const METRICS: [Metric; 6] = [
    Metric::Gauge(
        STREAMS,
        "Open streams of live messages, by transport.",
        &[&[("transport", "events")], &[("transport", "websocket")]],
    ),
    Metric::Counter(
        MESSAGES,
        "Live messages given to clients, by kind.",
        &[&[("kind", "changes")], &[("kind", "heartbeat")]],
    ),
    Metric::Counter(
        RESYNCS,
        "Clients that were told to read everything again, by reason.",
        &[&[("reason", "too_slow")], &[("reason", "too_old")], &[("reason", "future")], &[("reason", "other_log")]],
    ),
    Metric::Counter(LEFT_BEHIND, "Clients that did not keep up and get no further messages.", PLAIN),
    Metric::Counter(
        ENDED,
        "Streams of live messages that the service ended, by reason.",
        &[&[("reason", "stopping")], &[("reason", "refused")], &[("reason", "unavailable")], &[("reason", "silent")]],
    ),
    Metric::Histogram(
        DELAY,
        "Time from the storing of an event, by the log's clock, until it is given to the streams of a topic.",
    ),
];

pub(crate) fn describe() {
    metering::describe(&METRICS);
}

impl Transport {
    fn label(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::WebSocket => "websocket",
        }
    }
}

pub(super) fn opened(transport: Transport) {
    metrics::gauge!(STREAMS, "transport" => transport.label()).increment(1.0);
}

pub(super) fn closed(transport: Transport) {
    metrics::gauge!(STREAMS, "transport" => transport.label()).decrement(1.0);
}

/// A message was given to a number of clients.
pub(super) fn messages(is_heartbeat: bool, clients: usize) {
    let kind = if is_heartbeat { "heartbeat" } else { "changes" };
    metrics::counter!(MESSAGES, "kind" => kind).increment(clients as u64);
}

pub(super) fn resync(reason: ResyncReason) {
    metrics::counter!(RESYNCS, "reason" => reason.word()).increment(1);
}

/// A client's queue was full.
pub(super) fn left_behind() {
    metrics::counter!(LEFT_BEHIND).increment(1);
}

pub(super) fn ended(end: End) {
    let reason = match end {
        End::Stopping => "stopping",
        End::Refused => "refused",
        End::Unavailable => "unavailable",
        End::Silent => "silent",
    };
    metrics::counter!(ENDED, "reason" => reason).increment(1);
}

pub(super) fn delay(time: TimeDelta) {
    metrics::histogram!(DELAY).record(time.as_seconds_f64().max(0.0));
}

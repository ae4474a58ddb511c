//! The nats-server source: durable pull consumers on the stream in which the server keeps what MQTT clients publish with QoS 1, one per
//! up-channel. One consumer with all filters would be enough, but it reads a backlog seven times slower than a consumer with a single
//! filter.
//!
//! That stream is internal to the server, so only this file and `watermark_publisher` use it, and its configuration is checked first: an
//! unexpected stream is refused at the start. Interest retention means that a message is kept for the consumers that exist when it arrives,
//! so the bridge is not ready before the durables exist.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{self, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, Message};
use async_nats::{Client, connection::State};
use event_store::connection;
use event_store::telemetry::Telemetry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::durables::{STREAM, durable_name};
use super::merge::{InOrder, Merge};
use super::{Ack, Arrived, Delivery, Inbound, Numbering, Queues, Settled, Verdict, watermark_publisher};
use crate::topics::{DeviceTopic, STORED_PREFIX, stored_filters};

/// Messages of one channel delivered and not yet acknowledged, over all bridges: 20,000 with all channels.
const ACK_PENDING_MAX: i64 = 4_000;
/// A message without an acknowledgement is redelivered after this time, for example when a process died or hangs. Short, because newer
/// messages of the same device are processed meanwhile, and the message may then be late. Longer than the interval of progress
/// acknowledgements, with a margin for a slow process or server.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(6);
/// How long, and how often, the connection is still read after a missed heartbeat.
const REST_TIME: Duration = Duration::from_millis(250);
const REST_POLL: Duration = Duration::from_millis(25);
/// How long it may take to give prefetched messages back.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages of one channel fetched ahead.
const FETCH_MESSAGES: usize = 1_000;
/// A silence of twice this long means that the consumer is gone.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one fetch waits for messages.
const FETCH_EXPIRES: Duration = Duration::from_secs(30);
/// How long it may take to find the stream and to make the durables.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after the first failure to open; doubles up to the longest.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why the source can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Temporary.
    #[error("the broker's messages can't be read now: {0}")]
    Unavailable(String),
    /// Permanent.
    #[error(
        "stream {STREAM}: {field} is {found}, must be {wanted}; this nats-server stores MQTT messages in a way that Waybill doesn't support"
    )]
    Unknown { field: &'static str, found: String, wanted: String },
}

/// Reads messages into the queues until stopped. `ready` becomes true once the durables exist, so that no published message is lost.
pub(crate) async fn run(
    client: Client,
    waybill: Client,
    queues: Arc<Queues>,
    telemetry: Telemetry,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> Result<(), SourceError> {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let opened = tokio::select! {
            () = stop.cancelled() => break,
            opened = timeout(OPEN_TIMEOUT, open(&client)) => opened,
        };
        match opened.unwrap_or_else(|_| Err(SourceError::Unavailable("no consumer in time".to_owned()))) {
            Ok(open) => {
                failures = 0;
                ready.send_replace(true);
                let jetstream = open.jetstream.clone();
                let reason = tokio::select! {
                    reason = read(open, &queues, &stop) => reason,
                    never = watermark_publisher::run(&jetstream, &waybill, &telemetry) => match never {},
                };
                tracing::debug!(reason, "reading of MQTT messages interrupted");
            }
            Err(error @ SourceError::Unknown { .. }) => return Err(error),
            Err(error) => {
                failures = failures.saturating_add(1);
                // nats-server creates the stream with the first MQTT connection.
                if failures == 5 {
                    tracing::warn!(%error, "waiting for the MQTT broker");
                }
                sleep(REOPEN_PAUSE.saturating_mul(1 << failures.min(8)).min(REOPEN_PAUSE_MAX)).await;
            }
        }
    }
    Ok(())
}

struct Open {
    jetstream: Context,
    messages: Merge<pull::Stream, Message>,
    incarnation_ms: u64,
    settled: Settled,
}

async fn open(client: &Client) -> Result<Open, SourceError> {
    if client.connection_state() != State::Connected {
        return Err(SourceError::Unavailable("not connected to NATS".to_owned()));
    }
    let jetstream = connection::jetstream(client);
    let info = look(&jetstream).await?;
    let mut consumers = Vec::new();
    for (channel, filter) in stored_filters() {
        let consumer: PullConsumer =
            jetstream.create_consumer_on_stream(durable(channel, filter), STREAM).await.map_err(unavailable)?;
        consumers.push(consumer);
    }
    let mut sources = Vec::new();
    for consumer in consumers {
        let fetch =
            consumer.stream().max_messages_per_batch(FETCH_MESSAGES).heartbeat(HEARTBEAT).expires(FETCH_EXPIRES);
        sources.push(fetch.messages().await.map_err(unavailable)?);
    }
    let created_ms = info.created.timestamp_millis();
    let incarnation_ms = u64::try_from(created_ms).unwrap_or(0);
    Ok(Open { jetstream, messages: Merge::new(sources), incarnation_ms, settled: Settled::new() })
}

/// The stream, if its configuration is as expected.
async fn look(jetstream: &Context) -> Result<stream::Info, SourceError> {
    let stream = jetstream.get_stream(STREAM).await.map_err(unavailable)?;
    let info = stream.cached_info().clone();
    let fields = [
        ("subjects", info.config.subjects.join(" "), format!("{STORED_PREFIX}>")),
        ("retention", format!("{:?}", info.config.retention), format!("{:?}", RetentionPolicy::Interest)),
        ("storage", format!("{:?}", info.config.storage), format!("{:?}", StorageType::File)),
    ];
    match fields.into_iter().find(|(_, found, wanted)| found != wanted) {
        None => Ok(info),
        Some((field, found, wanted)) => Err(SourceError::Unknown { field, found, wanted }),
    }
}

fn durable(channel: &str, filter: String) -> pull::Config {
    pull::Config {
        durable_name: Some(durable_name(channel)),
        description: Some("what devices send, on its way into the event log".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX,
        filter_subject: filter,
        ..pull::Config::default()
    }
}

/// Reads messages into the queues until the consumer is gone or the process stops; returns why it ended.
async fn read(mut open: Open, queues: &Queues, stop: &CancellationToken) -> String {
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => {
                give_back(&mut open).await;
                return "stopping".to_owned();
            }
            next = open.messages.next() => next,
        };
        match next {
            Ok(message) => queues.push(open.inbound(message)).await,
            Err(reason) => {
                // The connection may be down for long. Messages that can't be given back now are redelivered after the acknowledgement
                // timeout.
                let back = timeout(GIVE_BACK_TIMEOUT, give_back(&mut open)).await;
                take_rest(&mut open, queues).await;
                let all = if back.is_ok() { "all" } else { "not all" };
                return format!("{reason}; {all} messages fetched ahead were given back");
            }
        }
    }
}

/// Prefetched messages are given back at once, so that they are redelivered without waiting for the acknowledgement timeout.
async fn give_back(open: &mut Open) {
    for message in open.messages.fetched() {
        open.inbound(message).ack.settle(Verdict::Retry(Duration::ZERO)).await;
    }
}

/// Takes messages that arrived while the process was suspended. If they were dropped, they would be redelivered only after the
/// acknowledgement timeout.
async fn take_rest(open: &mut Open, queues: &Queues) {
    let until = Instant::now() + REST_TIME;
    while Instant::now() < until {
        for message in open.messages.fetched() {
            queues.push(open.inbound(message)).await;
        }
        sleep(REST_POLL).await;
    }
}

impl Open {
    fn inbound(&self, message: Message) -> Inbound {
        inbound(message, self.incarnation_ms, &self.settled)
    }
}

fn inbound(message: Message, incarnation_ms: u64, settled: &Settled) -> Inbound {
    let delivery = message.info().ok().map(|info| Delivery {
        numbering: Numbering::Broker,
        incarnation_ms,
        number: info.stream_sequence,
        times: u32::try_from(info.delivered).unwrap_or(1),
    });
    let (message, acker) = message.split();
    Inbound {
        topic: DeviceTopic::from_stored_subject(&message.subject),
        arrived: Arrived::Stored,
        payload: message.payload,
        delivery,
        ack: Ack::of(acker, delivery.map_or(0, |delivery| delivery.number), settled.clone()),
        origin: None,
    }
}

fn unavailable(error: impl std::error::Error) -> SourceError {
    SourceError::Unavailable(error.to_string())
}

impl InOrder for Message {
    fn place(&self) -> (u64, bool) {
        self.info().map_or((0, false), |info| (info.stream_sequence, info.pending > 0))
    }
}

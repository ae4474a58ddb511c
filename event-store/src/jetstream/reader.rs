//! Follows a stream from a position on, without end.
//!
//! Uses an ordered, unacknowledged, short-lived consumer in memory. The position is kept here, not in the consumer. If the consumer is lost
//! (restart of the server, loss of its node, a missing message), a new one is created after the last message delivered. The end of the
//! stream is reported whenever it is reached, so that readers can distinguish idle from lagging.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::{Client, Message};
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};

use crate::connection;
use crate::error::StoreError;
use crate::jetstream_api::{StreamInfo, connected, stream_info};
use crate::log::Delivery;

/// Messages fetched ahead.
const FETCH_MESSAGES: usize = 2_000;
/// Bytes fetched ahead: some of the largest records, and more than the next batch of a projection.
const FETCH_BYTES: usize = 4 * 1024 * 1024;
/// A silence of twice this long means that the consumer is gone.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one fetch waits for messages.
const FETCH_EXPIRES: Duration = Duration::from_secs(30);
/// The server deletes a consumer that is not read for this long.
const CONSUMER_IDLE: Duration = Duration::from_secs(30);
/// How long creating a consumer may take, over all its requests.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the first failure to open; doubles up to the longest.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A message with its position in the stream.
pub(crate) struct Delivered {
    pub(crate) position: u64,
    pub(crate) stored_at: DateTime<Utc>,
    pub(crate) message: Message,
}

/// Which messages to read, and how to decode them.
pub(crate) struct Source<R> {
    pub(crate) stream: &'static str,
    pub(crate) filter: String,
    pub(crate) convert: fn(Delivered) -> Result<R, StoreError>,
}

/// Messages from a sequence number on; never ends.
pub(crate) fn subscribe<R: Send + 'static>(
    client: Client,
    source: Source<R>,
    from_sequence: u64,
) -> impl Stream<Item = Result<Delivery<R>, StoreError>> + Send + 'static {
    let reader = Reader {
        client,
        source,
        next: from_sequence.max(1),
        open: None,
        caught_up: None,
        incarnation_ms: None,
        failures: 0,
    };
    futures::stream::unfold(reader, |mut reader| async move {
        let delivery = reader.deliver().await;
        Some((delivery, reader))
    })
}

struct Reader<R> {
    client: Client,
    source: Source<R>,
    /// Sequence number of the next message wanted.
    next: u64,
    open: Option<Open>,
    /// The end of the stream, when it was reached and not yet reported.
    caught_up: Option<u64>,
    incarnation_ms: Option<u64>,
    failures: u32,
}

struct Open {
    messages: pull::Stream,
    /// Number of messages this consumer has delivered.
    delivered: u64,
}

impl<R> Reader<R> {
    async fn deliver(&mut self) -> Result<Delivery<R>, StoreError> {
        loop {
            if let Some(position) = self.caught_up.take() {
                return Ok(Delivery::CaughtUp { position });
            }
            let Some(open) = &mut self.open else {
                self.open().await?;
                continue;
            };
            match open.messages.next().await {
                Some(Ok(message)) => {
                    let Some(delivered) = self.accept(message) else { continue };
                    match (self.source.convert)(delivered) {
                        // Written by another program: it belongs to no aggregate. A reader that stopped here would never continue.
                        Err(StoreError::Corrupt { position, reason }) => {
                            tracing::error!(
                                stream = self.source.stream,
                                position,
                                reason,
                                "A message of another program is skipped."
                            );
                            metrics::counter!("waybill_stray_messages_total", "stream" => self.source.stream)
                                .increment(1);
                        }
                        converted => return converted.map(Delivery::Record),
                    }
                }
                interrupted => {
                    let reason = interrupted.and_then(Result::err).map(|error| error.to_string());
                    self.interrupted(reason.as_deref().unwrap_or("ended"));
                }
            }
        }
    }

    /// The message, if it is the next one.
    fn accept(&mut self, message: jetstream::Message) -> Option<Delivered> {
        let (position, stored_at, consumer_sequence, pending) = match message.info() {
            Ok(info) => (info.stream_sequence, info.published, info.consumer_sequence, info.pending),
            Err(error) => {
                self.interrupted(&error.to_string());
                return None;
            }
        };
        let open = self.open.as_mut()?;
        if consumer_sequence != open.delivered + 1 {
            self.interrupted("a message is missing");
            return None;
        }
        open.delivered = consumer_sequence;
        if position < self.next {
            return None;
        }
        self.failures = 0;
        self.next = position + 1;
        self.caught_up = (pending == 0).then_some(position);
        Some(Delivered { position, stored_at, message: message.message })
    }

    fn interrupted(&mut self, reason: &str) {
        tracing::debug!(stream = self.source.stream, next = self.next, reason, "subscription interrupted");
        self.open = None;
    }

    /// Creates a consumer after the last message delivered. Fails only if waiting does not help.
    async fn open(&mut self) -> Result<(), StoreError> {
        let opened = match tokio::time::timeout(OPEN_TIMEOUT, self.try_open()).await {
            Ok(opened) => opened,
            Err(_) => Err(StoreError::Unavailable("no consumer in time".to_owned())),
        };
        let error = match opened {
            Ok(()) => return Ok(()),
            Err(error @ (StoreError::OtherIncarnation { .. } | StoreError::Refused(_))) => return Err(error),
            Err(error) => error,
        };
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(stream = self.source.stream, next = self.next, %error, "subscription waits for the log");
        }
        let doubled = REOPEN_PAUSE.saturating_mul(1 << self.failures.min(10));
        tokio::time::sleep(doubled.min(REOPEN_PAUSE_MAX)).await;
        Ok(())
    }

    async fn try_open(&mut self) -> Result<(), StoreError> {
        connected(&self.client)?;
        let info = stream_info(&self.client, self.source.stream).await?;
        self.check_incarnation(&info)?;
        self.check_end(&info)?;
        let jetstream = connection::jetstream(&self.client);
        let unavailable = |error: &dyn std::error::Error| StoreError::Unavailable(error.to_string());
        let consumer = jetstream
            .create_consumer_on_stream(self.consumer_config(), self.source.stream)
            .await
            .map_err(|error| unavailable(&error))?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer
            .stream()
            .max_messages_per_batch(FETCH_MESSAGES)
            .max_bytes_per_batch(FETCH_BYTES)
            .heartbeat(HEARTBEAT)
            .expires(FETCH_EXPIRES)
            .messages()
            .await
            .map_err(|error| unavailable(&error))?;
        if self.failures > 0 {
            tracing::info!(stream = self.source.stream, next = self.next, "subscription continues");
        }
        self.open = Some(Open { messages, delivered: 0 });
        self.caught_up = (pending == 0).then_some(info.state.last_seq);
        Ok(())
    }

    fn check_incarnation(&mut self, info: &StreamInfo) -> Result<(), StoreError> {
        let found_ms = info.incarnation_ms();
        let wanted_ms = *self.incarnation_ms.get_or_insert(found_ms);
        if wanted_ms == found_ms { Ok(()) } else { Err(StoreError::OtherIncarnation { wanted_ms, found_ms }) }
    }

    /// A stream that ends before the position that was read has lost its end. New messages would get numbers that count as read.
    fn check_end(&self, info: &StreamInfo) -> Result<(), StoreError> {
        let (read, last) = (self.next - 1, info.state.last_seq);
        if read <= last {
            return Ok(());
        }
        let stream = self.source.stream;
        Err(StoreError::Refused(format!(
            "{stream} ends at {last}, but was read up to {read}: it was cut off or restored"
        )))
    }

    fn consumer_config(&self) -> pull::Config {
        pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next },
            ack_policy: AckPolicy::None,
            filter_subject: self.source.filter.clone(),
            inactive_threshold: CONSUMER_IDLE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        }
    }
}

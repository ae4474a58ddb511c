//! Forwards events from EVENTS to FEED, each once and in order.
//!
//! FEED is the checkpoint: every message names the event it came from, and forwarding continues after the last one. Messages are sent
//! without waiting for acknowledgements. Each names the expected last sequence number of the stream, so if one is lost all later ones are
//! refused, and a second forwarder is refused too. In both cases the forwarder starts again from the end of FEED.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::Duration;

use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{FeedMessage, POSITION_HEADER, messages};
use crate::error::StoreError;
use crate::jetstream_api::{connected, stream_info};
use crate::log::{Delivery, Log, RawRecord};
use crate::position::Position;
use crate::streams::{FEED, FEED_MAX_AGE};
use runtime::clock;

/// Most messages that are sent and not yet acknowledged.
const IN_FLIGHT_MAX: usize = 256;
/// How long an acknowledgement may take.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before starting again after a failure.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Forwards until `stop` is cancelled. More than one may run; all but one make no progress.
pub async fn run(client: Client, log: std::sync::Arc<dyn Log>, stop: CancellationToken) {
    loop {
        let forwarding = async {
            let mut forwarder = Forwarder::behind_the_last(&client).await?;
            forwarder.forward(log.as_ref()).await
        };
        match stop.run_until_cancelled(forwarding).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                metrics::counter!("waybill_feed_interruptions_total").increment(1);
                tracing::warn!(%error, "forwarding to FEED interrupted; starting again after its last message")
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(RESTART_PAUSE)).await.is_none() {
            return;
        }
    }
}

type Acknowledgement = BoxFuture<'static, Result<PublishAck, PublishError>>;

/// The end of FEED.
struct Forwarder {
    jetstream: Context,
    /// Sequence number of FEED's last message, counting those sent and not yet acknowledged.
    last_sequence: u64,
    /// Event of FEED's last message.
    after: Option<Position>,
    /// Events stored earlier are no longer kept in FEED, so they are not forwarded again.
    not_before: DateTime<Utc>,
    unacknowledged: VecDeque<Acknowledgement>,
}

impl Forwarder {
    async fn behind_the_last(client: &Client) -> Result<Self, StoreError> {
        connected(client)?;
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(ACK_TIMEOUT)
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(IN_FLIGHT_MAX)
            .build(client.clone());
        let last_sequence = stream_info(client, FEED).await?.state.last_seq;
        let after = last_position(&jetstream).await?;
        let age = TimeDelta::from_std(FEED_MAX_AGE).unwrap_or(TimeDelta::MAX);
        let not_before = clock::now() - age;
        Ok(Self { jetstream, last_sequence, after, not_before, unacknowledged: VecDeque::new() })
    }

    async fn forward(&mut self, log: &dyn Log) -> Result<(), StoreError> {
        let mut deliveries = log.subscribe(self.after.map_or(1, |after| after.sequence));
        loop {
            tokio::select! {
                biased;
                acknowledged = first(&mut self.unacknowledged) => acknowledged?,
                delivery = deliveries.next(), if self.unacknowledged.len() < IN_FLIGHT_MAX => match delivery {
                    Some(Ok(Delivery::Record(record))) => self.send_all(&record).await?,
                    Some(Ok(Delivery::CaughtUp { position })) => note_position(position),
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn send_all(&mut self, record: &RawRecord) -> Result<(), StoreError> {
        if record.stored_at < self.not_before {
            return Ok(());
        }
        let messages = match messages(record) {
            Err(StoreError::Corrupt { position, reason }) => {
                tracing::error!(position, reason, "damaged record left out of FEED");
                return Ok(());
            }
            other => other?,
        };
        let after = self.after;
        for message in messages.iter().filter(|message| after.is_none_or(|after| message.position > after)) {
            while self.unacknowledged.len() >= IN_FLIGHT_MAX {
                first(&mut self.unacknowledged).await?;
            }
            self.send(message).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: &FeedMessage) -> Result<(), StoreError> {
        let publish = PublishMessage::build()
            .headers(message.header_map())
            .payload(message.body.clone())
            .expected_stream(FEED)
            .expected_last_sequence(self.last_sequence);
        let sending = self.jetstream.send_publish(message.subject.clone(), publish);
        let acknowledgement = tokio::time::timeout(ACK_TIMEOUT, sending)
            .await
            .map_err(|_| StoreError::Unavailable("the connection takes no more".to_owned()))?
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.unacknowledged.push_back(acknowledgement.into_future());
        self.last_sequence += 1;
        self.after = Some(message.position);
        note_position(message.position.sequence);
        Ok(())
    }
}

/// Position up to which events have been sent.
fn note_position(position: u64) {
    metrics::gauge!("waybill_feed_position").set(position as f64);
}

/// Waits for the oldest acknowledgement; forever if there is none. Cancel-safe.
async fn first(unacknowledged: &mut VecDeque<Acknowledgement>) -> Result<(), StoreError> {
    let Some(oldest) = unacknowledged.front_mut() else { return std::future::pending().await };
    let acknowledged = oldest.await;
    unacknowledged.pop_front();
    acknowledged.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The event of FEED's last message; none when FEED is empty.
async fn last_position(jetstream: &Context) -> Result<Option<Position>, StoreError> {
    use async_nats::jetstream::stream::LastRawMessageErrorKind;
    let unavailable = |error: &dyn std::error::Error| StoreError::Unavailable(error.to_string());
    let stream = jetstream.get_stream_no_info(FEED).await.map_err(|error| unavailable(&error))?;
    match stream.get_last_raw_message_by_subject("feed.>").await {
        Ok(message) => position_in(&message.headers).map(Some).ok_or_else(|| StoreError::Corrupt {
            position: message.sequence,
            reason: "FEED names no position".to_owned(),
        }),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(unavailable(&error)),
    }
}

fn position_in(headers: &HeaderMap) -> Option<Position> {
    headers.get(POSITION_HEADER)?.as_str().parse().ok()
}

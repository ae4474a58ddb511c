//! Reads the queue of events of network servers: one durable consumer, which all bridges share.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use chirpstack::events::{Hints, Route, normalise};
use event_store::connection;
use event_store::network::RawEvent;
use event_store::streams::NETWORK;
use futures::StreamExt;
use runtime::lifecycle::Tasks;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backlog::measure;
use super::intake::{Intake, Read};
use super::workers::{ACK_PENDING_MAX, ACK_WAIT, Job, Workers};

const DURABLE: &str = "waybill-network";
/// Events fetched ahead.
const FETCH_MESSAGES: usize = 256;
/// A silence of twice this long means that the consumer is gone.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one fetch waits for events.
const FETCH_EXPIRES: Duration = Duration::from_secs(30);
/// How long it may take to find the stream and to make the consumer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failure.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Reads the queue until stopped.
pub(crate) async fn run(client: Client, intake: Arc<Intake>, tasks: Tasks) {
    let workers = Workers::start(&intake, &tasks);
    let stop = tasks.token().clone();
    tasks.spawn("network-backlog", measure(client.clone(), stop.clone()));
    while !stop.is_cancelled() {
        let opened = stop.run_until_cancelled(timeout(OPEN_TIMEOUT, open(&client))).await;
        let reason = match opened {
            None => return,
            Some(Ok(Ok(open))) => read(open, &workers, &stop).await,
            Some(Ok(Err(reason))) => reason,
            Some(Err(_)) => "no consumer in time".to_owned(),
        };
        tracing::debug!(reason, "reading of events of network servers interrupted");
        stop.run_until_cancelled(sleep(REOPEN_PAUSE)).await;
    }
}

struct Open {
    messages: pull::Stream,
    incarnation_ms: u64,
}

async fn open(client: &Client) -> Result<Open, String> {
    if client.connection_state() != State::Connected {
        return Err("not connected to NATS".to_owned());
    }
    let jetstream = connection::jetstream(client);
    let stream = jetstream.get_stream(NETWORK).await.map_err(|error| error.to_string())?;
    let created_ms = stream.cached_info().created.timestamp_millis();
    let config = pull::Config {
        durable_name: Some(DURABLE.to_owned()),
        description: Some("what network servers send, on its way into the event log".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX as i64,
        ..pull::Config::default()
    };
    let consumer: PullConsumer =
        jetstream.create_consumer_on_stream(config, NETWORK).await.map_err(|error| error.to_string())?;
    let fetch = consumer.stream().max_messages_per_batch(FETCH_MESSAGES).heartbeat(HEARTBEAT).expires(FETCH_EXPIRES);
    let messages = fetch.messages().await.map_err(|error| error.to_string())?;
    Ok(Open { messages, incarnation_ms: u64::try_from(created_ms).unwrap_or(0) })
}

/// Reads until the consumer is gone or the process stops; returns why it ended.
async fn read(mut open: Open, workers: &Workers, stop: &CancellationToken) -> String {
    loop {
        match stop.run_until_cancelled(open.messages.next()).await {
            None => return "stopping".to_owned(),
            Some(Some(Ok(message))) => take(message, open.incarnation_ms, workers).await,
            Some(Some(Err(error))) => return error.to_string(),
            Some(None) => return "ended".to_owned(),
        }
    }
}

async fn take(message: Message, incarnation_ms: u64, workers: &Workers) {
    let info = message.info().ok();
    let number = info.as_ref().map_or(0, |info| info.stream_sequence);
    let times = info.map_or(1, |info| u32::try_from(info.delivered).unwrap_or(1));
    let (message, acker) = message.split();
    let raw = RawEvent::of_message(&message.subject, message.headers.as_ref(), message.payload);
    let Some(raw) = raw else {
        tracing::error!(number, "A message of another program is removed from the queue of network servers.");
        acker.ack().await.ok();
        return;
    };
    let route = raw.route.as_deref().and_then(Route::parse);
    let event = normalise(&raw.body, &Hints { event: raw.event.as_deref(), route });
    workers.push(Job { read: Read { raw, event, incarnation_ms, number, times }, acker }).await;
}

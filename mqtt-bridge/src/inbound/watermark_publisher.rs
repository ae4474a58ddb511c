//! Publishes watermarks to TELEMETRY: up to which time messages of devices have been processed. Clocks that measure silence wait for them.
//!
//! A message counts as processed when it is acknowledged, which is after its effects are stored. So a watermark that is published after the
//! check comes after everything that it covers: messages at the broker, and events of network servers. Times of the servers are converted to
//! ages by the server's own clock, and the ages are subtracted from this process's clock, so the clocks need not agree. All bridges share the
//! durables, so each bridge can publish for all.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use chrono::{DateTime, TimeDelta, Utc};
use event_store::streams::NETWORK;
use event_store::telemetry::{TELEMETRY_FORMAT, Telemetry, WatermarkRecord};
use runtime::clock;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::durables::{STREAM, durable_name};
use crate::jetstream_request::{NO_MESSAGE_FOUND, ask};
use crate::network::backlog;
use crate::topics::stored_filters;

/// Interval of watermarks. Each costs one request for the queue of network servers, one per durable, and one more for each durable with
/// unfinished messages.
const MARK_INTERVAL: Duration = Duration::from_secs(2);
/// A message that waits longer is logged.
const AGE_MAX: TimeDelta = TimeDelta::minutes(1);

/// The part of a consumer's state that is used here.
#[derive(Debug, Deserialize)]
struct ConsumerState {
    /// The server's time of the answer.
    ts: DateTime<Utc>,
    ack_floor: AckFloor,
    num_ack_pending: u64,
    num_pending: u64,
}

#[derive(Debug, Deserialize)]
struct AckFloor {
    /// Up to this number of the stream everything is acknowledged.
    stream_seq: u64,
}

#[derive(Debug, Deserialize)]
struct Found {
    message: Stored,
}

#[derive(Debug, Deserialize)]
struct Stored {
    seq: u64,
    subject: String,
    time: DateTime<Utc>,
}

/// The oldest unfinished message, which limits the watermark.
#[derive(Debug)]
struct Oldest {
    age: TimeDelta,
    number: u64,
    /// The stream, for an event of a network server.
    subject: String,
}

/// Publishes watermarks without end. After a failure the next interval tries again.
pub(super) async fn run(jetstream: &Context, waybill: &Client, telemetry: &Telemetry) -> Infallible {
    let mut ticks = interval(MARK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = false;
    loop {
        ticks.tick().await;
        match mark(jetstream, waybill, telemetry).await {
            Ok(oldest) => warned = warn_once(oldest.filter(|oldest| oldest.age > AGE_MAX), warned),
            Err(reason) => tracing::debug!(reason, "the watermark can't be published"),
        }
    }
}

/// Logs the message that holds up the clocks, once until they run again.
fn warn_once(stuck: Option<Oldest>, warned: bool) -> bool {
    let Some(Oldest { age, number, subject }) = stuck else { return false };
    if !warned {
        tracing::warn!(
            message.number = number,
            message.subject = subject,
            age_s = age.num_seconds(),
            "A device's message is not processed; the clocks of updates wait for it."
        );
    }
    true
}

/// Publishes one watermark; returns the oldest unfinished message.
async fn mark(jetstream: &Context, waybill: &Client, telemetry: &Telemetry) -> Result<Option<Oldest>, String> {
    // Taken before the requests: messages that arrive during the requests are not covered.
    let at = clock::now();
    let mut unfinished = Vec::new();
    for (channel, filter) in stored_filters() {
        unfinished.extend(oldest_unfinished(jetstream, channel, &filter).await?);
    }
    unfinished.extend(oldest_event(waybill).await?);
    let oldest = unfinished.into_iter().max_by_key(|message| message.age);
    let age = oldest.as_ref().map_or(TimeDelta::zero(), |message| message.age);
    let mark = WatermarkRecord { v: TELEMETRY_FORMAT, at, heard_until: at - age };
    telemetry.mark(mark).await.map_err(|error| error.to_string())?;
    Ok(oldest)
}

/// The oldest message of a channel that isn't acknowledged.
async fn oldest_unfinished(jetstream: &Context, channel: &str, filter: &str) -> Result<Option<Oldest>, String> {
    let subject = format!("CONSUMER.INFO.{STREAM}.{}", durable_name(channel));
    let state: ConsumerState = match ask(jetstream, subject, json!({})).await? {
        Ok(state) => state,
        Err((_, error)) => return Err(error),
    };
    if state.num_pending == 0 && state.num_ack_pending == 0 {
        return Ok(None);
    }
    let next = json!({"seq": state.ack_floor.stream_seq + 1, "next_by_subj": filter});
    match ask::<Found>(jetstream, format!("STREAM.MSG.GET.{STREAM}"), next).await? {
        Ok(Found { message: Stored { seq, subject, time } }) => {
            Ok(Some(Oldest { age: (state.ts - time).max(TimeDelta::zero()), number: seq, subject }))
        }
        // Finished in between.
        Err((NO_MESSAGE_FOUND, _)) => Ok(None),
        Err((_, error)) => Err(error),
    }
}

/// The oldest event of network servers that isn't handled. The messages of LoRaWAN devices are among these events.
async fn oldest_event(waybill: &Client) -> Result<Option<Oldest>, String> {
    let found = backlog::oldest(waybill).await?;
    Ok(found.map(|event| Oldest { age: event.age, number: event.number, subject: NETWORK.to_owned() }))
}

//! How many events of network servers wait to be handled, and for how long.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use chrono::{DateTime, TimeDelta, Utc};
use event_store::connection;
use event_store::streams::NETWORK;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::jetstream_request::ask;

/// How often the length of the queue is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// The part of the stream's state that is used here.
#[derive(Debug, Deserialize)]
struct Info {
    /// The server's time of the answer.
    ts: DateTime<Utc>,
    state: Waiting,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    messages: u64,
    first_seq: u64,
    first_ts: DateTime<Utc>,
}

/// The oldest event that is not handled.
#[derive(Debug, PartialEq)]
pub(crate) struct OldestEvent {
    /// How long it has waited.
    pub(crate) age: TimeDelta,
    /// Number in the queue.
    pub(crate) number: u64,
}

impl Info {
    fn oldest(&self) -> Option<OldestEvent> {
        let Waiting { messages, first_seq: number, first_ts } = self.state;
        (messages > 0).then(|| OldestEvent { age: (self.ts - first_ts).max(TimeDelta::zero()), number })
    }
}

async fn info(client: &Client) -> Result<Info, String> {
    let jetstream = connection::jetstream(client);
    let answer = ask::<Info>(&jetstream, format!("STREAM.INFO.{NETWORK}"), json!({})).await?;
    answer.map_err(|(_, reason)| reason)
}

/// None if no event waits.
pub(crate) async fn oldest(client: &Client) -> Result<Option<OldestEvent>, String> {
    Ok(info(client).await?.oldest())
}

/// Measures the length of the queue until stopped.
pub(super) async fn measure(client: Client, stop: CancellationToken) {
    let mut ticks = interval(MEASURE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if client.connection_state() != State::Connected {
            continue;
        }
        match info(&client).await {
            Ok(info) => ::metrics::gauge!(metrics::BACKLOG).set(info.state.messages as f64),
            Err(reason) => tracing::debug!(reason, "the queue of network servers can't be measured"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_by_the_clock_of_the_server() {
        let info = |messages: u64| {
            let state = json!({"messages": messages, "bytes": 9, "first_seq": 7, "first_ts": "2026-01-30T21:00:00Z"});
            serde_json::from_value::<Info>(json!({"ts": "2026-01-30T21:00:05Z", "state": state})).unwrap()
        };
        assert_eq!(info(2).oldest(), Some(OldestEvent { age: TimeDelta::seconds(5), number: 7 }));
        assert_eq!(info(0).oldest(), None);
    }
}

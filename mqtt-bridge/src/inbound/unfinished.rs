//! Whether an older message of the same topic is still on its way.
//!
//! A message without news leaves no event, so nothing in the log would tell a process that holds an older one that it comes too late. The
//! broker keeps a message until it is acknowledged: what is older and still there may still be applied, here or in another process.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use event_store::connection;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::json;

use super::Inbound;
use super::mqtt_msgs::STREAM;
use super::watermark_publisher::{NO_MESSAGE_FOUND, ask};

/// Older messages that are looked at, of those that this process has just acknowledged.
const LOOKS_MAX: usize = 4;
/// How long an acknowledgement may take to reach the broker's store.
const SETTLED_FOR: Duration = Duration::from_secs(10);
const SETTLED_MAX: u64 = 50_000;

#[derive(Debug, Deserialize)]
struct Found {
    message: Numbered,
}

#[derive(Debug, Deserialize)]
struct Numbered {
    seq: u64,
}

/// Numbers of messages that this process has acknowledged just now: the broker may still have them.
#[derive(Clone)]
pub(crate) struct Settled(Cache<u64, ()>);

impl Settled {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(SETTLED_MAX).time_to_live(SETTLED_FOR).build())
    }

    pub(super) fn record(&self, number: u64) {
        self.0.insert(number, ());
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.contains_key(&number)
    }
}

/// Asks the broker.
pub(crate) struct Unfinished {
    jetstream: Context,
}

impl Unfinished {
    pub(crate) fn new(devices: Client) -> Self {
        Self { jetstream: connection::jetstream(&devices) }
    }

    /// Whether an older message of the topic may still be applied; also when the broker doesn't answer in time.
    pub(super) async fn before(&self, message: &Inbound) -> bool {
        let (Some(delivery), Ok(topic)) = (message.delivery, &message.topic) else { return false };
        let subject = topic.to_stored_subject();
        let mut from = 1;
        for _ in 0..LOOKS_MAX {
            let question = json!({"seq": from, "next_by_subj": subject});
            let first = match ask::<Found>(&self.jetstream, format!("STREAM.MSG.GET.{STREAM}"), question).await {
                Ok(Ok(Found { message })) => message.seq,
                // This very message is gone, too: another process has finished it.
                Ok(Err((NO_MESSAGE_FOUND, _))) => return false,
                Ok(Err((_, reason))) | Err(reason) => {
                    tracing::debug!(reason, "the broker doesn't say what is unfinished");
                    return true;
                }
            };
            if first >= delivery.number {
                return false;
            }
            if !message.ack.has_settled(first) {
                return true;
            }
            from = first + 1;
        }
        true
    }
}

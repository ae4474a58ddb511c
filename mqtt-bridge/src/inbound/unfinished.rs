//! Checks whether an older message of the same topic is unfinished.
//!
//! A message that changes nothing leaves no event, so the log would not show to a process with an older message that this one is late. The
//! broker keeps a message until it is acknowledged: an older one that is still there may still be applied, here or in another process.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use event_store::connection;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::json;

use super::durables::STREAM;
use super::{Inbound, Numbering};
use crate::jetstream_request::{NO_MESSAGE_FOUND, ask};

/// Most older messages that are checked and were recently acknowledged by this process.
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

/// Numbers of messages that this process has recently acknowledged: the broker may still have them.
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

    /// Whether an older message of the topic may still be applied. True if the broker does not answer in time.
    pub(super) async fn before(&self, message: &Inbound) -> bool {
        let stored = message.delivery.filter(|delivery| delivery.numbering == Numbering::Broker);
        let (Some(delivery), Ok(topic)) = (stored, &message.topic) else { return false };
        let subject = topic.to_stored_subject();
        let mut from = 1;
        for _ in 0..LOOKS_MAX {
            let question = json!({"seq": from, "next_by_subj": subject});
            let first = match ask::<Found>(&self.jetstream, format!("STREAM.MSG.GET.{STREAM}"), question).await {
                Ok(Ok(Found { message })) => message.seq,
                // This message is gone too: another process has finished it.
                Ok(Err((NO_MESSAGE_FOUND, _))) => return false,
                Ok(Err((_, reason))) | Err(reason) => {
                    tracing::debug!(reason, "unfinished messages can't be requested from the broker");
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

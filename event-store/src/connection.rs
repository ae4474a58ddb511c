//! How this program connects to nats-server. Every client is made with [`options`], so all have the same time limits.
//!
//! A server that hangs or is cut off does not close its TCP connections: the kernel continues to acknowledge, or no answer comes. Only the
//! client's own pings detect that. The third ping after a silence, each [`PING_INTERVAL`] after the one before, ends the connection; any
//! data from the server counts as an answer. Then the servers of the list and those that the cluster has named are tried, each for
//! [`CONNECT_TIMEOUT`]: a server that hangs accepts the connection and sends nothing.

use std::time::Duration;

use async_nats::jetstream::{Context, context::ContextBuilder};
use async_nats::{Client, ConnectOptions};

/// The server is pinged after this long without data from it. The client library allows two unanswered pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long one server may take to accept a connection and to identify itself.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long any other request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest pause between two attempts to connect again.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Pause after the first failed attempt. It grows by the same amount with each further one.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Options of every connection. `name` also keeps its replies apart from other users'.
#[expect(clippy::disallowed_methods, reason = "the one place where options are made")]
pub fn options(name: &str) -> ConnectOptions {
    ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(format!("_INBOX_{name}"))
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .max_reconnects(None)
        .reconnect_delay_callback(pause_before)
}

/// JetStream over a connection, with the timeout of all other requests. A request to a server that has died since gets no answer, so a
/// longer timeout would only delay the error.
pub fn jetstream(client: &Client) -> Context {
    ContextBuilder::new().timeout(REQUEST_TIMEOUT).ack_timeout(REQUEST_TIMEOUT).build(client.clone())
}

/// The first attempt is made at once, because there may be other servers.
fn pause_before(attempt: usize) -> Duration {
    RECONNECT_PAUSE
        .saturating_mul(u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX))
        .min(RECONNECT_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let pauses = [1, 2, 3, 1_000].map(|attempt| pause_before(attempt).as_millis());
        assert_eq!(pauses, [0, 50, 100, 1_000]);
    }
}

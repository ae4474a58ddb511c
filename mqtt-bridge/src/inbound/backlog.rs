//! Measures how many messages of devices are not processed yet. All bridges share the durables, so each sees all messages.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::{Context, response::Response};
use event_store::connection;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::durables::{STREAM, durable_name};
use crate::link::Link;
use crate::topics::stored_filters;

/// Interval of the measurement: one request per durable.
const INTERVAL: Duration = Duration::from_secs(5);

/// Messages at the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// To be read.
    pub pending: u64,
    /// Read and not acknowledged.
    pub unacknowledged: u64,
    /// Why they can't be measured.
    pub error: Option<String>,
}

/// Measures until stopped.
pub(crate) async fn measure(
    client: Client,
    link: Arc<Link>,
    measured: watch::Sender<Backlog>,
    stop: CancellationToken,
) {
    let jetstream = connection::jetstream(&client);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        metrics::gauge!("waybill_mqtt_connected").set(f64::from(u8::from(link.is_connected())));
        let found = match client.connection_state() {
            State::Connected => count(&jetstream).await,
            State::Pending | State::Disconnected => Err("not connected to NATS".to_owned()),
        };
        let backlog = found.unwrap_or_else(|error| Backlog { error: Some(error), ..measured.borrow().clone() });
        if backlog.error.is_none() {
            metrics::gauge!("waybill_mqtt_backlog_messages").set((backlog.pending + backlog.unacknowledged) as f64);
        }
        measured.send_replace(backlog);
    }
}

async fn count(jetstream: &Context) -> Result<Backlog, String> {
    let mut sum = Backlog::default();
    for (channel, _) in stored_filters() {
        let subject = format!("CONSUMER.INFO.{STREAM}.{}", durable_name(channel));
        match jetstream.request::<_, _, Response<Info>>(subject, &json!({})).await.map_err(|error| error.to_string())? {
            Response::Ok(info) => {
                sum.pending += info.num_pending;
                sum.unacknowledged += info.num_ack_pending as u64;
            }
            Response::Err { error } => return Err(error.to_string()),
        }
    }
    Ok(sum)
}

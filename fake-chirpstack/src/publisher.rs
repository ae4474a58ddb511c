//! Where events go: webhooks and a broker. Each is sent once; nothing is kept for later and nothing is ordered, as on the real server.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::events::Event;
use crate::mqtt::Broker;
use crate::webhook::{Encoding, Webhook};

/// Events that wait to be sent; more are lost.
const WAITING_MAX: usize = 100_000;
/// Events that are sent at once.
const AT_ONCE: usize = 64;
/// Events that are kept to look at.
const KEPT_MAX: usize = 10_000;
/// Webhooks at most.
const WEBHOOKS_MAX: usize = 16;
/// How long a webhook may take, as on the real server.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes events to send.
#[derive(Debug)]
pub(crate) struct Publisher {
    waiting: mpsc::Sender<Event>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    webhooks: Mutex<Vec<Webhook>>,
    kept: Mutex<VecDeque<Event>>,
    delivered: AtomicU64,
    refused: AtomicU64,
}

/// What the task that sends them takes from.
pub(crate) struct Waiting {
    events: mpsc::Receiver<Event>,
    state: Arc<State>,
}

pub(crate) fn publisher(webhooks: Vec<Webhook>) -> (Publisher, Waiting) {
    let (sender, events) = mpsc::channel(WAITING_MAX);
    let state = Arc::new(State { webhooks: Mutex::new(webhooks), ..State::default() });
    (Publisher { waiting: sender, state: Arc::clone(&state) }, Waiting { events, state })
}

impl Publisher {
    pub(crate) fn publish(&self, event: Event) {
        {
            let mut kept = self.state.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(event.clone());
        }
        if self.waiting.try_send(event).is_err() {
            tracing::warn!("an event is lost: too many wait to be sent");
        }
    }

    /// The last events, oldest first, delivered or not.
    pub(crate) fn kept(&self) -> Vec<Event> {
        self.state.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// POSTs that were answered with success, and those that weren't.
    pub(crate) fn deliveries(&self) -> (u64, u64) {
        (self.state.delivered.load(Ordering::Relaxed), self.state.refused.load(Ordering::Relaxed))
    }

    pub(crate) fn set_webhooks(&self, webhooks: Vec<Webhook>) {
        let mut current = self.state.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        *current = webhooks;
        current.truncate(WEBHOOKS_MAX);
    }
}

/// Sends events until cancelled.
pub(crate) async fn run(waiting: Waiting, broker: Option<Broker>, stopping: CancellationToken) {
    let client = reqwest::Client::builder().timeout(WEBHOOK_TIMEOUT).no_proxy().build().unwrap_or_default();
    let Waiting { events, state } = waiting;
    let events = futures::stream::unfold(events, async |mut events| events.recv().await.map(|event| (event, events)));
    let sent = events.for_each_concurrent(AT_ONCE, |event| {
        let webhooks = state.webhooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (client, state, broker) = (&client, &state, &broker);
        async move {
            if let Some(broker) = broker {
                broker.publish(&event);
            }
            for webhook in webhooks {
                post(client, &webhook, &event, state).await;
            }
        }
    });
    tokio::select! {
        () = stopping.cancelled() => {}
        () = sent => {}
    }
}

async fn post(client: &reqwest::Client, webhook: &Webhook, event: &Event, state: &State) {
    if webhook.application_id.as_ref().is_some_and(|id| *id != event.application_id) {
        return;
    }
    let (content_type, body) = match webhook.encoding {
        Encoding::Json => ("application/json", event.json.clone()),
        Encoding::Protobuf => ("application/octet-stream", event.protobuf.clone()),
    };
    let mut request = client.post(webhook.url_of(event)).body(body);
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    let is_delivered = match request.header("content-type", content_type).send().await {
        Ok(response) if response.status().is_success() => true,
        Ok(response) => {
            tracing::warn!(status = response.status().as_u16(), "a webhook refused an event");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "a webhook was not reached");
            false
        }
    };
    let counter = if is_delivered { &state.delivered } else { &state.refused };
    counter.fetch_add(1, Ordering::Relaxed);
}

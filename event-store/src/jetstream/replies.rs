//! One inbox for all batch reads.
//!
//! A batch read is one request with many replies. Subscribing and unsubscribing for each would cost two more messages, and a reply subject
//! that is not in the server's caches. Instead there is one wildcard subscription per connection, and a token in the reply subject
//! identifies the request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use runtime::lifecycle::Tasks;

type Waiting = Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>;

/// Distributes replies to their requests.
pub(super) struct Replies {
    inbox: String,
    next_token: AtomicU64,
    waiting: Arc<Waiting>,
}

impl Replies {
    pub(super) async fn start(client: &Client, tasks: &Tasks) -> Result<Self, StoreError> {
        let inbox = client.new_inbox();
        let subscriber =
            client.subscribe(format!("{inbox}.*")).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let waiting = Arc::<Waiting>::default();
        tasks.spawn("event-store replies", hand_out(subscriber, waiting.clone(), tasks.token().clone()));
        Ok(Self { inbox, next_token: AtomicU64::new(0), waiting })
    }

    /// Sends a request. Its replies arrive in the returned receiver. Bounded by the batch that the request asks for.
    pub(super) async fn request(
        &self,
        client: &Client,
        subject: String,
        body: Bytes,
    ) -> Result<Incoming<'_>, StoreError> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::unbounded_channel();
        lock(&self.waiting).insert(token, sender);
        let incoming = Incoming { messages, token, waiting: &self.waiting };
        client
            .publish_with_reply(subject, format!("{}.{token}", self.inbox), body)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(incoming)
    }
}

/// The replies to one request. Dropping it unregisters the request.
pub(super) struct Incoming<'a> {
    pub(super) messages: mpsc::UnboundedReceiver<Message>,
    token: u64,
    waiting: &'a Waiting,
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.token);
    }
}

async fn hand_out(mut subscriber: Subscriber, waiting: Arc<Waiting>, stop: CancellationToken) {
    while let Some(Some(message)) = stop.run_until_cancelled(subscriber.next()).await {
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let Some(token) = token else { continue };
        if let Some(sender) = lock(&waiting).get(&token) {
            sender.send(message).ok();
        }
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, mpsc::UnboundedSender<Message>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

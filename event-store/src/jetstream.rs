//! The log on NATS JetStream, stream EVENTS.
//!
//! Every request has a deadline. No request is started while the connection is down: the client would buffer it and send it when the server
//! is back, so commands would queue outside the log. Reads are one request to any replica (`replies`). Requests that need the newest state
//! ask the leader.

pub(crate) mod append;
mod probe;
pub(crate) mod read;
pub(crate) mod reader;
mod replies;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{AggregateKey, TenantId};
use futures::StreamExt;
use tokio::time::Instant;

use crate::error::{AppendError, StoreError};
use crate::jetstream_api::{connected, stream_info};
use crate::log::{Log, LogInfo, NextOfType, RawRecord, Subscription};
use crate::{streams, subject};
use probe::Probe;
use replies::Replies;
use runtime::lifecycle::Tasks;
use writes::Writes;

/// How long the leader may take to acknowledge an append before its outcome counts as unknown.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(2);

/// The log in the stream EVENTS. Clones share the connection.
#[derive(Clone)]
pub struct JetStreamLog {
    client: Client,
    replies: Arc<Replies>,
    writes: Arc<Writes>,
    probe: Arc<Probe>,
    /// Number of connects of the client for which `writes` is valid.
    connects: Arc<AtomicU64>,
}

impl JetStreamLog {
    /// The log over a connection whose streams [`streams::ensure`] has checked. `tasks` owns the task that distributes replies.
    pub async fn connect(client: Client, tasks: &Tasks) -> Result<Self, StoreError> {
        let replies = Replies::start(&client, tasks).await?;
        let connects = client.statistics().connects.load(Ordering::Relaxed);
        let log = Self {
            client,
            replies: Arc::new(replies),
            writes: Arc::default(),
            probe: Arc::default(),
            connects: Arc::new(connects.into()),
        };
        log.wait_for_leader().await?;
        Ok(log)
    }

    /// A server that has disconnected since the streams were checked may come back.
    async fn wait_for_leader(&self) -> Result<(), StoreError> {
        let deadline = Instant::now() + streams::READY_TIMEOUT;
        loop {
            match self.info().await {
                Err(error) if error.is_unavailable() && Instant::now() < deadline => {
                    tokio::time::sleep(streams::READY_PAUSE).await;
                }
                answered => return answered.map(drop),
            }
        }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    fn subscribe_to(&self, filter: String, from_sequence: u64) -> Subscription {
        let source = reader::Source { stream: streams::EVENTS, filter, convert: read::from_delivery };
        reader::subscribe(self.client.clone(), source, from_sequence).boxed()
    }

    /// What appends have shown on the current connection.
    fn writes(&self) -> &Writes {
        let connects = self.client.statistics().connects.load(Ordering::Relaxed);
        if self.connects.swap(connects, Ordering::Relaxed) != connects {
            self.writes.reconnected();
        }
        &self.writes
    }
}

#[async_trait]
impl Log for JetStreamLog {
    async fn append(&self, key: &AggregateKey, expected_last: u64, body: Bytes) -> Result<u64, AppendError> {
        let (writes, began) = (self.writes(), Instant::now());
        writes.begin(began)?;
        let appended = append::append(&self.client, subject::of(key), expected_last, body).await;
        let now = Instant::now();
        match &appended {
            Ok(_) => writes.acknowledged(now),
            Err(AppendError::NoSpace(reason)) => writes.refused(reason, now),
            // Without a connection there is no answer.
            Err(AppendError::Ambiguous(_)) if connected(&self.client).is_ok() => writes.unanswered(began, now),
            Err(_) => {}
        }
        appended
    }

    async fn read(&self, key: &AggregateKey, from_sequence: u64, limit: usize) -> Result<Vec<RawRecord>, StoreError> {
        connected(&self.client)?;
        read::read(&self.client, &self.replies, key, from_sequence, limit).await
    }

    async fn last_sequence(&self, key: &AggregateKey) -> Result<u64, StoreError> {
        let last = read::last_sequence(&self.client, &subject::of(key)).await;
        if last.is_ok() {
            self.writes().leader_answered(Instant::now());
        }
        last
    }

    async fn info(&self) -> Result<LogInfo, StoreError> {
        let info = stream_info(&self.client, streams::EVENTS).await?;
        Ok(LogInfo { incarnation_ms: info.incarnation_ms(), last_sequence: info.state.last_seq })
    }

    async fn writable(&self) -> Result<(), StoreError> {
        connected(&self.client)?;
        self.probe.ask(&self.client, self.writes()).await
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription {
        self.subscribe_to(subject::ALL.to_owned(), from_sequence)
    }

    fn subscribe_type(&self, kind: &'static str, from_sequence: u64) -> Subscription {
        self.subscribe_to(subject::of_type(kind), from_sequence)
    }

    async fn next_of_type(&self, kind: &'static str, after: u64) -> Result<NextOfType, StoreError> {
        // First the end, so that a record that is stored meanwhile isn't passed over.
        let end = self.info().await?.last_sequence;
        let next =
            if end > after { read::next_sequence(&self.client, &subject::of_type(kind), after).await? } else { None };
        Ok(next.map_or(NextOfType::NoneUpTo(end), NextOfType::At))
    }

    async fn has_tenant(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        Ok(read::next_sequence(&self.client, &subject::of_tenant(tenant), 0).await?.is_some())
    }
}

//! A lease in a NATS key-value bucket: one owner at a time, over all processes.
//!
//! No clocks are compared. The owner renews the entry regularly. Another process takes the lease over only after it has itself observed the
//! entry unchanged for the whole term. Every write names the revision that it replaces, so one of two concurrent writers loses. The owner
//! stops before the term ends: [`Lease::lost`] is cancelled when renewing fails. A lease limits how long work is done twice. Actions that
//! must never happen twice are guarded by the log.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{Entry, Operation, Store};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::error::StoreError;
use crate::streams::LEASES;
use runtime::lifecycle::Tasks;

/// A lease is renewed this many times in a term.
const RENEWALS_PER_TERM: u32 = 4;
/// Pause before a lease is requested again whose work has ended.
const AGAIN_PAUSE: Duration = Duration::from_secs(1);
/// The owner gives up after this part of a term without a renewal, so that it has stopped before another begins.
const GIVE_UP_AFTER: f64 = 0.75;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Term {
    owner: String,
    term_ms: u64,
}

/// An acquired lease. Dropping it releases it as soon as possible.
#[derive(Debug)]
pub struct Lease {
    lost: CancellationToken,
    _release: tokio_util::sync::DropGuard,
}

impl Lease {
    /// Waits until `owner` has the lease `name`, then renews it. Only one contender may use an owner's name at a time. An owner that has
    /// lost the lease and asks again under the same name gets it back at once, unless another took it. Interruptions of NATS are waited
    /// out; drop the future to give up.
    pub async fn acquire(client: &Client, tasks: &Tasks, name: &str, owner: &str, term: Duration) -> Self {
        let mut seen = None;
        loop {
            match Contender::open(client, name, owner, term).await {
                Ok(contender) => match contender.try_take(&mut seen).await {
                    Ok(Some(revision)) => return contender.keep(revision, tasks),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(lease = name, %error, "lease can't be taken now"),
                },
                Err(error) => tracing::debug!(lease = name, %error, "leases can't be read now"),
            }
            sleep(term / RENEWALS_PER_TERM).await;
        }
    }

    /// Does `work` whenever this process has the lease `name`, until the work ends without an error or the tasks are stopped. When the lease is
    /// lost the work is dropped; then, and after an error, the lease is requested again.
    pub async fn hold<W: Future<Output = Result<(), StoreError>>>(
        client: &Client,
        tasks: &Tasks,
        name: &str,
        term: Duration,
        work: impl Fn() -> W,
    ) {
        let stop = tasks.token();
        let owner = runtime::clock::new_id().to_string();
        loop {
            let lease = tokio::select! {
                () = stop.cancelled() => return,
                lease = Self::acquire(client, tasks, name, &owner, term) => lease,
            };
            tokio::select! {
                () = lease.lost().cancelled() => {}
                ended = work() => match ended {
                    Ok(()) => return,
                    Err(error) => tracing::error!(lease = name, %error, "the work under a lease ended"),
                },
            }
            drop(lease);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(AGAIN_PAUSE) => {}
            }
        }
    }

    /// Cancelled when the lease is lost: work under it must stop.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

/// The entry as last seen, and since when it has not changed.
struct Seen {
    revision: u64,
    since: Instant,
}

struct Contender {
    store: Store,
    name: String,
    value: Term,
    term: Duration,
}

impl Contender {
    async fn open(client: &Client, name: &str, owner: &str, term: Duration) -> Result<Self, StoreError> {
        crate::jetstream_api::connected(client)?;
        let store = connection::jetstream(client).get_key_value(LEASES).await.map_err(unavailable)?;
        let value = Term { owner: owner.to_owned(), term_ms: u64::try_from(term.as_millis()).unwrap_or(u64::MAX) };
        Ok(Self { store, name: name.to_owned(), value, term })
    }

    /// The revision under which the lease was taken; `None` if another owner has it.
    async fn try_take(&self, seen: &mut Option<Seen>) -> Result<Option<u64>, StoreError> {
        let Some(entry) = self.store.entry(self.name.clone()).await.map_err(unavailable)? else {
            return Ok(self.store.create(&self.name, self.bytes()?).await.ok());
        };
        if entry.operation != Operation::Put || self.is_over(&entry, seen) {
            return Ok(self.store.update(&self.name, self.bytes()?, entry.revision).await.ok());
        }
        Ok(None)
    }

    /// Whether this process observed the entry unchanged for its whole term, or the entry has this owner's name: the owner that asks again
    /// no longer renews it.
    fn is_over(&self, entry: &Entry, seen: &mut Option<Seen>) -> bool {
        let held = serde_json::from_slice::<Term>(&entry.value).ok();
        if held.as_ref().is_some_and(|held| held.owner == self.value.owner) {
            return true;
        }
        let term = held.map_or(self.term, |held| Duration::from_millis(held.term_ms));
        match seen {
            Some(seen) if seen.revision == entry.revision => seen.since.elapsed() >= term,
            _ => {
                *seen = Some(Seen { revision: entry.revision, since: Instant::now() });
                false
            }
        }
    }

    fn keep(self, revision: u64, tasks: &Tasks) -> Lease {
        let lost = CancellationToken::new();
        let released = CancellationToken::new();
        tracing::info!(lease = self.name, owner = self.value.owner, "lease taken");
        let stop = tasks.token().clone();
        tasks.spawn("lease", renew(self, revision, lost.clone(), released.clone(), stop));
        Lease { lost, _release: released.drop_guard() }
    }

    fn bytes(&self) -> Result<bytes::Bytes, StoreError> {
        serde_json::to_vec(&self.value).map(Into::into).map_err(|error| StoreError::Refused(error.to_string()))
    }
}

async fn renew(
    holder: Contender,
    mut revision: u64,
    lost: CancellationToken,
    released: CancellationToken,
    stop: CancellationToken,
) {
    let _lost = lost.drop_guard();
    let pause = holder.term / RENEWALS_PER_TERM;
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = released.cancelled() => break,
            () = stop.cancelled() => break,
        }
        let left = holder.term.mul_f64(GIVE_UP_AFTER).saturating_sub(renewed.elapsed());
        let started = Instant::now();
        let Ok(bytes) = holder.bytes() else { break };
        match timeout(left, holder.store.update(&holder.name, bytes, revision)).await {
            Ok(Ok(next)) => (revision, renewed) = (next, started),
            Ok(Err(error)) if renewed.elapsed() < holder.term.mul_f64(GIVE_UP_AFTER) => {
                tracing::debug!(lease = holder.name, %error, "lease not renewed; trying again");
                if error.kind() == async_nats::jetstream::kv::UpdateErrorKind::WrongLastRevision {
                    tracing::warn!(lease = holder.name, "lease lost to another owner");
                    return;
                }
            }
            _ => {
                tracing::warn!(lease = holder.name, "lease lost: it could not be renewed in time");
                return;
            }
        }
    }
    let release = holder.store.delete_expect_revision(&holder.name, Some(revision));
    timeout(pause, release).await.ok();
}

fn unavailable(error: impl std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

//! All aggregates of one type, followed in memory, so that a look at one needs no request.
//!
//! For types with few and small aggregates that are looked at often: nothing is ever evicted, and there are at most
//! [`AGGREGATES_MAX`] of them.
//!
//! Consistency: a look shows each aggregate as it was after one of its records, usually the last one, milliseconds after it was stored
//! by any process. How old the whole can be is known: it is compared with the leader of the log several times a second, and
//! [`Followed::is_current`] says whether at some moment within a given time it had everything that the leader had then. While the log
//! can't be reached it stays as it was, and that moment recedes. [`Followed::reached`] waits until a given position is included. A leader
//! that has just been replaced may still answer, until it notices after about ten seconds.

mod aggregates;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use domain::{Decider, Key, TenantId};
use futures::StreamExt;
use runtime::lifecycle::Tasks;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use self::aggregates::Aggregates;
use crate::context::Loaded;
use crate::error::StoreError;
use crate::log::{Delivery, Log, NextOfType};

pub use self::aggregates::{AGGREGATES_MAX, WithId};

/// Pause between two comparisons with the leader.
const COMPARE_INTERVAL: Duration = Duration::from_millis(250);
/// Pause before the log is read anew from the beginning, after an error that waiting doesn't end.
const BEGIN_ANEW_PAUSE: Duration = Duration::from_secs(2);

/// All aggregates of type `A`. Clones share them.
pub struct Followed<A: Decider>(Arc<Shared<A>>);

struct Shared<A: Decider> {
    log: Arc<dyn Log>,
    aggregates: Aggregates<A>,
    progress: watch::Sender<Progress>,
    /// Asks for a comparison with the leader at once.
    wanted: Notify,
}

/// How far the log was followed.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// All records of the type up to this position are applied.
    through: u64,
    /// The latest moment at which nothing that the leader had was missing.
    complete_at: Option<Instant>,
}

impl<A: Decider> Clone for Followed<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Decider> Followed<A> {
    /// Follows a log until the tasks end.
    pub fn start(log: Arc<dyn Log>, tasks: &Tasks) -> Self {
        let shared = Shared {
            log,
            aggregates: Aggregates::default(),
            progress: watch::Sender::default(),
            wanted: Notify::new(),
        };
        let (followed, stopped) = (Self(Arc::new(shared)), tasks.token().clone());
        let following = followed.clone();
        tasks.spawn("follower of aggregates", async move {
            tokio::select! { () = stopped.cancelled() => {}, () = following.0.follow() => {} }
        });
        followed
    }

    /// An aggregate that has records; none if it has none. An error if it can't be known: its records can't be read, or there are more
    /// than [`AGGREGATES_MAX`] aggregates and it is not among those that are kept.
    pub fn get(&self, key: &Key<A>) -> Result<Option<Arc<Loaded<A>>>, StoreError> {
        self.0.aggregates.get(key)
    }

    /// The aggregates of a tenant in the order of their ids; those whose records can't be read are left out.
    pub fn of_tenant(&self, tenant: &TenantId) -> Result<Vec<WithId<A>>, StoreError> {
        self.0.aggregates.of_tenant(tenant)
    }

    /// The results of a function for the aggregates of all tenants.
    pub fn filter_map<T>(&self, wanted: impl Fn(&TenantId, &A) -> Option<T>) -> Vec<T> {
        self.0.aggregates.filter_map(wanted)
    }

    /// How many aggregates of a tenant there are.
    pub fn count(&self, tenant: &TenantId) -> usize {
        self.0.aggregates.count(tenant)
    }

    /// Whether everything that was in the log at the start has been read.
    pub fn has_caught_up(&self) -> bool {
        self.complete_at().is_some()
    }

    /// The latest moment at which nothing that the leader had was missing; none before the end was reached for the first time.
    pub fn complete_at(&self) -> Option<Instant> {
        self.0.progress.borrow().complete_at
    }

    /// Whether nothing that is older than this is missing.
    pub fn is_current(&self, within: Duration) -> bool {
        self.complete_at().is_some_and(|at| at.elapsed() <= within)
    }

    /// Waits until everything up to a position is included, which may be the position of any record of the log.
    pub async fn reached(&self, position: u64, wait_max: Duration) -> Result<(), StoreError> {
        let mut progress = self.0.progress.subscribe();
        if progress.borrow().through >= position {
            return Ok(());
        }
        self.0.wanted.notify_one();
        let reached = progress.wait_for(|progress| progress.through >= position);
        match timeout(wait_max, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(StoreError::Unavailable(format!("no {} was followed up to {position} in time", A::TYPE)))
            }
        }
    }
}

impl<A: Decider> Shared<A> {
    async fn follow(&self) {
        loop {
            let error = tokio::select! {
                error = self.apply_all() => error,
                never = self.keep_comparing() => match never {},
            };
            tracing::error!(aggregate = A::TYPE, %error, "aggregates can't be followed; the log is read anew");
            self.progress.send_replace(Progress::default());
            self.aggregates.clear();
            sleep(BEGIN_ANEW_PAUSE).await;
        }
    }

    /// Applies records as they come. Ends with an error that waiting doesn't end.
    async fn apply_all(&self) -> StoreError {
        let mut deliveries = self.log.subscribe_type(A::TYPE, 1);
        loop {
            match deliveries.next().await {
                Some(Ok(Delivery::Record(record))) => {
                    self.aggregates.apply(&record);
                    self.progress.send_modify(|progress| progress.through = progress.through.max(record.position));
                }
                // A replica reports its own end here, which may be before the leader's.
                Some(Ok(Delivery::CaughtUp { .. })) => {}
                Some(Err(error)) => return error,
                // Only when the log itself is gone.
                None => return pending().await,
            }
        }
    }

    async fn keep_comparing(&self) -> Infallible {
        let mut progress = self.progress.subscribe();
        loop {
            let (through, asked_at) = (progress.borrow_and_update().through, Instant::now());
            let awaited = match self.log.next_of_type(A::TYPE, through).await {
                Ok(NextOfType::NoneUpTo(end)) if end >= through => {
                    self.progress.send_modify(|progress| {
                        progress.through = progress.through.max(end);
                        progress.complete_at = Some(asked_at);
                    });
                    u64::MAX
                }
                Ok(NextOfType::NoneUpTo(end)) => {
                    tracing::warn!(aggregate = A::TYPE, through, end, "the log ends before what was read of it");
                    u64::MAX
                }
                Ok(NextOfType::At(next)) => next,
                Err(error) => {
                    tracing::debug!(aggregate = A::TYPE, %error, "followed aggregates can't be compared with the log");
                    u64::MAX
                }
            };
            tokio::select! {
                () = sleep(COMPARE_INTERVAL) => {}
                () = self.wanted.notified() => {}
                // A record was on its way. Now there may be none after it.
                _ = progress.wait_for(|progress| progress.through >= awaited) => {}
            }
        }
    }
}

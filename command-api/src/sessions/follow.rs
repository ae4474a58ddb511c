//! Follows the bucket, and compares what is known with its leader several times a second.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_store::{Delivery, StoreError};
use futures::StreamExt;
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::time::{Instant, sleep};

use super::{Sessions, Shared};

/// Pause between two comparisons with the leader.
const COMPARE_INTERVAL: Duration = Duration::from_millis(250);
/// Pause before the bucket is read anew, after an error that waiting doesn't end.
const BEGIN_ANEW_PAUSE: Duration = Duration::from_secs(2);
/// Comparisons between two times that expired sessions are forgotten.
const FORGET_EVERY: u64 = 240;

impl Sessions {
    /// Follows until the tasks end.
    pub(crate) fn follow(&self, tasks: &Tasks) {
        let (sessions, stopped) = (self.clone(), tasks.token().clone());
        tasks.spawn("follower of sessions", async move {
            tokio::select! { () = stopped.cancelled() => {}, () = sessions.0.follow() => {} }
        });
    }
}

impl Shared {
    async fn follow(&self) {
        loop {
            let through = AtomicU64::new(0);
            let error = tokio::select! {
                error = self.apply_all(&through) => error,
                never = self.keep_comparing(&through) => match never {},
            };
            tracing::error!(%error, "Sessions can't be followed; they are read anew.");
            self.known.clear();
            sleep(BEGIN_ANEW_PAUSE).await;
        }
    }

    /// Applies changes as they come. Ends with an error that waiting doesn't end.
    async fn apply_all(&self, through: &AtomicU64) -> StoreError {
        let mut changes = self.bucket.changes();
        loop {
            match changes.next().await {
                Some(Ok(Delivery::Record(entry))) => {
                    let session = match &entry.value {
                        Some(sealed) => self.open(&entry.key, sealed).await,
                        None => None,
                    };
                    self.known.apply(entry.key, entry.revision, session);
                    through.fetch_max(entry.revision, Ordering::Release);
                }
                Some(Ok(Delivery::CaughtUp { .. })) => {}
                Some(Err(error)) => return error,
                // Only when the bucket itself is gone.
                None => return pending().await,
            }
        }
    }

    async fn keep_comparing(&self, through: &AtomicU64) -> Infallible {
        let mut round = 0_u64;
        loop {
            let asked_at = Instant::now();
            match self.bucket.next_after(through.load(Ordering::Acquire)).await {
                Ok(None) => self.known.set_complete(Some(asked_at)),
                Ok(Some(_)) => {}
                Err(error) => tracing::debug!(%error, "sessions can't be compared with their bucket"),
            }
            round += 1;
            if round.is_multiple_of(FORGET_EVERY) {
                self.known.forget_expired(clock::now(), self.idle());
            }
            sleep(COMPARE_INTERVAL).await;
        }
    }
}

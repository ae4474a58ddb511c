//! How many bytes of the queue a tenant may have. JetStream counts messages of a subject, and no bytes: they are estimated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::TenantId;
use moka::sync::Cache;

use crate::error::{AppendError, StoreError};
use crate::streams::NETWORK_TENANT_MAX_BYTES;

/// Bytes that a tenant may store before its messages are counted again.
const COUNTED_AGAIN_BYTES: u64 = NETWORK_TENANT_MAX_BYTES / 8;
/// Bytes of a message beside its body, about: subject, headers, and what the store needs.
const OVERHEAD_BYTES: u64 = 256;
/// The mean size of a tenant's messages follows this many of them.
const MEAN_OF: u64 = 64;
/// Tenants whose share is known.
const TENANTS_MAX: u64 = 10_000;

/// Counts the messages of a tenant that wait.
#[async_trait]
pub(super) trait Waiting: Send + Sync {
    async fn waiting(&self, tenant: &TenantId) -> Result<u64, StoreError>;
}

/// The shares of all tenants, as far as this process has stored anything for them.
#[derive(Clone)]
pub(super) struct Shares(Cache<TenantId, Arc<Share>>);

/// What is known of a tenant's messages.
#[derive(Default)]
struct Share(Mutex<Known>);

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// Mean size of its messages; 0 before the first.
    mean_bytes: u64,
    /// Messages that wait, as far as this process knows, and their bytes.
    messages: u64,
    bytes: u64,
    /// Bytes that this process may store before the messages are counted again; 0 before the first count.
    uncounted_bytes: u64,
}

impl Known {
    /// None if it has to be counted first.
    fn bytes(&self) -> Option<u64> {
        (self.uncounted_bytes > 0).then_some(self.bytes)
    }

    fn note(&mut self, bytes: u64) {
        self.mean_bytes = match self.mean_bytes {
            0 => bytes,
            mean => (mean * (MEAN_OF - 1) + bytes).div_ceil(MEAN_OF),
        };
        self.messages += 1;
        self.bytes += bytes;
        self.uncounted_bytes = self.uncounted_bytes.saturating_sub(bytes);
    }

    /// What has gone was as large as the rest, and what others have stored is as large as what this process stores.
    fn counted(&mut self, messages: u64) {
        self.bytes = match messages.checked_sub(self.messages) {
            Some(of_others) => self.bytes.saturating_add(of_others.saturating_mul(self.mean_bytes)),
            None => (u128::from(self.bytes) * u128::from(messages) / u128::from(self.messages)) as u64,
        };
        self.messages = messages;
        self.uncounted_bytes = COUNTED_AGAIN_BYTES;
    }
}

impl Share {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn count(&self, tenant: &TenantId, bytes: u64, waiting: &dyn Waiting) -> Result<u64, StoreError> {
        let messages = waiting.waiting(tenant).await?;
        let mut known = self.known();
        if known.mean_bytes == 0 {
            known.mean_bytes = bytes;
        }
        known.counted(messages);
        Ok(known.bytes)
    }
}

impl Shares {
    pub(super) fn new() -> Self {
        Self(Cache::new(TENANTS_MAX))
    }

    /// Refuses an event for which the tenant has no room. If its messages can't be counted, the limits of the stream alone hold.
    pub(super) async fn admit(
        &self,
        tenant: &TenantId,
        body_bytes: usize,
        waiting: &dyn Waiting,
    ) -> Result<(), AppendError> {
        let (share, bytes) = (self.of(tenant), size(body_bytes));
        let fits = |known: u64| known + bytes <= NETWORK_TENANT_MAX_BYTES;
        let known = share.known().bytes();
        if known.is_some_and(fits) {
            return Ok(());
        }
        match share.count(tenant, bytes, waiting).await {
            Ok(counted) if !fits(counted) => {
                Err(AppendError::NoSpace(format!("the tenant has some {counted} bytes in the queue")))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(tenant.id = %tenant, %error, "the events of a tenant that wait can't be counted now");
                Ok(())
            }
        }
    }

    /// Notes an event that was stored.
    pub(super) fn stored(&self, tenant: &TenantId, body_bytes: usize) {
        self.of(tenant).known().note(size(body_bytes));
    }

    fn of(&self, tenant: &TenantId) -> Arc<Share> {
        self.0.get_with_by_ref(tenant, Arc::default)
    }
}

fn size(body_bytes: usize) -> u64 {
    body_bytes as u64 + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A queue that nobody reads.
    #[derive(Default)]
    struct Queue {
        messages: AtomicU64,
        counts: AtomicU64,
        is_away: bool,
    }

    #[async_trait]
    impl Waiting for Queue {
        async fn waiting(&self, _: &TenantId) -> Result<u64, StoreError> {
            self.counts.fetch_add(1, Ordering::Relaxed);
            if self.is_away {
                return Err(StoreError::Unavailable("away".to_owned()));
            }
            Ok(self.messages.load(Ordering::Relaxed))
        }
    }

    fn acme() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    /// Stores events until one is refused, or so many.
    async fn fill(shares: &Shares, queue: &Queue, body_bytes: usize, most: u64) -> u64 {
        for stored in 0..most {
            if shares.admit(&acme(), body_bytes, queue).await.is_err() {
                return stored;
            }
            queue.messages.fetch_add(1, Ordering::Relaxed);
            shares.stored(&acme(), body_bytes);
        }
        most
    }

    #[tokio::test]
    async fn a_tenant_has_a_share_in_bytes_and_gets_it_back() {
        const BODY: usize = 100_000;
        let (shares, queue) = (Shares::new(), Queue::default());
        let most = NETWORK_TENANT_MAX_BYTES / size(BODY);
        assert_eq!(fill(&shares, &queue, BODY, 10_000).await, most);
        assert!(queue.counts.load(Ordering::Relaxed) < 12, "it isn't counted for each event");
        queue.messages.store(0, Ordering::Relaxed);
        assert_eq!(fill(&shares, &queue, BODY, 10_000).await, most, "what was handled counts no more");
    }

    #[tokio::test]
    async fn small_events_after_large_ones_hide_nothing() {
        let (shares, queue) = (Shares::new(), Queue::default());
        assert_eq!(fill(&shares, &queue, 100_000, 100).await, 100);
        assert_eq!(fill(&shares, &queue, 100, 2_000).await, 2_000);
        let left = NETWORK_TENANT_MAX_BYTES - 100 * size(100_000) - 2_000 * size(100);
        assert_eq!(fill(&shares, &queue, 100_000, 1_000).await, left / size(100_000));
    }

    #[tokio::test]
    async fn what_other_processes_have_stored_counts() {
        let (shares, queue) = (Shares::new(), Queue::default());
        queue.messages.store(1_000, Ordering::Relaxed);
        assert_eq!(fill(&shares, &queue, 100_000, 10).await, 0);
    }

    #[tokio::test]
    async fn a_queue_that_is_read_is_counted_seldom_and_one_that_cannot_be_counted_takes_events() {
        let (shares, queue) = (Shares::new(), Queue::default());
        for _ in 0..5_000 {
            assert!(shares.admit(&acme(), 1_000, &queue).await.is_ok());
            shares.stored(&acme(), 1_000);
        }
        assert!(queue.counts.load(Ordering::Relaxed) < 6);
        let away = Queue { is_away: true, ..Queue::default() };
        assert_eq!(fill(&Shares::new(), &away, 100_000, 1_000).await, 1_000);
    }
}

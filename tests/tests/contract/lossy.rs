//! A log that loses acknowledgements or appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{AggregateKey, TenantId};
use event_store::{AppendError, Log, LogInfo, NextOfType, RawRecord, StoreError, Subscription};

pub(super) struct LossyLog {
    pub(super) inner: Arc<dyn Log>,
    /// This many appends are stored, but their acknowledgement is lost.
    pub(super) lose_acks: AtomicU32,
    /// This many appends are lost before they are stored.
    pub(super) lose_appends: AtomicU32,
}

impl LossyLog {
    pub(super) fn losing(inner: Arc<dyn Log>, acks: u32, appends: u32) -> Arc<dyn Log> {
        Arc::new(Self { inner, lose_acks: acks.into(), lose_appends: appends.into() })
    }
}

fn take_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Log for LossyLog {
    async fn append(&self, key: &AggregateKey, expected_last: u64, body: Bytes) -> Result<u64, AppendError> {
        if take_one(&self.lose_appends) {
            return Err(AppendError::Ambiguous("lost".into()));
        }
        let appended = self.inner.append(key, expected_last, body).await;
        if appended.is_ok() && take_one(&self.lose_acks) {
            return Err(AppendError::Ambiguous("acknowledgement lost".into()));
        }
        appended
    }

    async fn read(&self, key: &AggregateKey, from: u64, limit: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.inner.read(key, from, limit).await
    }

    async fn last_sequence(&self, key: &AggregateKey) -> Result<u64, StoreError> {
        self.inner.last_sequence(key).await
    }

    async fn info(&self) -> Result<LogInfo, StoreError> {
        self.inner.info().await
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription {
        self.inner.subscribe(from_sequence)
    }

    fn subscribe_type(&self, kind: &'static str, from_sequence: u64) -> Subscription {
        self.inner.subscribe_type(kind, from_sequence)
    }

    async fn next_of_type(&self, kind: &'static str, after: u64) -> Result<NextOfType, StoreError> {
        self.inner.next_of_type(kind, after).await
    }

    async fn has_tenant(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        self.inner.has_tenant(tenant).await
    }
}

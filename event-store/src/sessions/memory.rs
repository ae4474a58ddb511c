//! The bucket in memory, for tests. It can be made unreachable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::watch;

use super::{SessionBucket, SessionChanges, SessionEntry};
use crate::error::StoreError;
use crate::log::Delivery;

/// All changes in order. Clones share them.
#[derive(Clone, Default)]
pub struct MemorySessions {
    shared: Arc<Mutex<Shared>>,
    stored: watch::Sender<u64>,
}

#[derive(Default)]
struct Shared {
    changes: Vec<SessionEntry>,
    is_away: bool,
}

impl MemorySessions {
    /// Whether the bucket answers.
    pub fn set_away(&self, is_away: bool) {
        self.lock().is_away = is_away;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self) -> Result<MutexGuard<'_, Shared>, StoreError> {
        let shared = self.lock();
        if shared.is_away { Err(StoreError::Unavailable("not reachable".to_owned())) } else { Ok(shared) }
    }

    /// Stores a change if the key's last one has this revision; any if none is given.
    fn store(&self, key: &str, expected: Option<u64>, value: Option<Bytes>) -> Result<bool, StoreError> {
        let mut shared = self.reached()?;
        let last = shared.changes.iter().rev().find(|entry| entry.key == key).map_or(0, |entry| entry.revision);
        if expected.is_some_and(|expected| expected != last) {
            return Ok(false);
        }
        let revision = shared.changes.len() as u64 + 1;
        shared.changes.push(SessionEntry { key: key.to_owned(), revision, value });
        self.stored.send_replace(revision);
        Ok(true)
    }
}

#[async_trait]
impl SessionBucket for MemorySessions {
    async fn create(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        let is_stored = self.store(key, Some(0), Some(value))?;
        if is_stored { Ok(()) } else { Err(StoreError::Refused("the key has another value".to_owned())) }
    }

    async fn replace(&self, key: &str, revision: u64, value: Bytes) -> Result<bool, StoreError> {
        self.store(key, Some(revision), Some(value))
    }

    async fn end(&self, key: &str) -> Result<(), StoreError> {
        self.store(key, None, None).map(drop)
    }

    async fn get(&self, key: &str) -> Result<Option<SessionEntry>, StoreError> {
        let found = self.reached()?.changes.iter().rev().find(|entry| entry.key == key).cloned();
        Ok(found.filter(|entry| entry.value.is_some()))
    }

    async fn next_after(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.reached()?.changes.iter().map(|entry| entry.revision).find(|found| *found > revision))
    }

    fn changes(&self) -> SessionChanges {
        let (bucket, stored) = (self.clone(), self.stored.subscribe());
        let changes = futures::stream::unfold((bucket, stored, 0), |(bucket, mut stored, delivered)| async move {
            stored.wait_for(|last| *last > delivered).await.ok()?;
            let next = bucket.lock().changes.get(usize::try_from(delivered).ok()?)?.clone();
            Some((Ok(Delivery::Record(next)), (bucket, stored, delivered + 1)))
        });
        changes.boxed()
    }
}

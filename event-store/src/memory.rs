//! The log in memory, for tests. It must pass the same contract tests as the one on JetStream.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{AggregateKey, TenantId};
use futures::StreamExt;
use tokio::sync::watch;

use crate::error::{AppendError, StoreError};
use crate::log::{Delivery, Log, LogInfo, NextOfType, RECORD_MAX_BYTES, RawRecord, Subscription};
use crate::subject;
use runtime::clock;

/// Records in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    created: DateTime<Utc>,
    records: Mutex<Records>,
    last_sequence: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Records {
    /// The record with sequence number `n` is at `n - 1`.
    all: Vec<RawRecord>,
    /// Sequence numbers of each aggregate's records.
    of: HashMap<AggregateKey, Vec<u64>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    pub fn new() -> Self {
        let shared = Shared { created: clock::now(), records: Mutex::default(), last_sequence: watch::Sender::new(0) };
        Self(Arc::new(shared))
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, sequence: u64) -> Option<RawRecord> {
        let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
        self.records().all.get(index).cloned()
    }

    async fn deliver(mut at: Cursor) -> Option<(Result<Delivery, StoreError>, Cursor)> {
        loop {
            if let Some(record) = at.log.at(at.next) {
                at.next += 1;
                at.told = false;
                return Some((Ok(Delivery::Record(record)), at));
            }
            if !at.told {
                at.told = true;
                let position = at.next - 1;
                return Some((Ok(Delivery::CaughtUp { position }), at));
            }
            at.changes.changed().await.ok()?;
        }
    }
}

/// State of a subscription.
struct Cursor {
    log: MemoryLog,
    next: u64,
    /// Whether the subscriber was told that it has everything before `next`.
    told: bool,
    changes: watch::Receiver<u64>,
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, key: &AggregateKey, expected_last: u64, body: Bytes) -> Result<u64, AppendError> {
        if body.len() > RECORD_MAX_BYTES {
            return Err(AppendError::TooLarge { bytes: body.len(), max_bytes: RECORD_MAX_BYTES });
        }
        let mut records = self.records();
        let last = records.of.get(key).and_then(|of| of.last()).copied().unwrap_or(0);
        if last != expected_last {
            return Err(AppendError::Conflict { last: Some(last) });
        }
        let position = records.all.len() as u64 + 1;
        records.all.push(RawRecord {
            position,
            stored_at: clock::now(),
            subject: subject::of(key),
            key: key.clone(),
            headers: BTreeMap::new(),
            body,
        });
        records.of.entry(key.clone()).or_default().push(position);
        drop(records);
        self.0.last_sequence.send_replace(position);
        Ok(position)
    }

    async fn read(&self, key: &AggregateKey, from_sequence: u64, limit: usize) -> Result<Vec<RawRecord>, StoreError> {
        let records = self.records();
        let of = records.of.get(key).map(Vec::as_slice).unwrap_or_default();
        let wanted = of.iter().filter(|sequence| **sequence >= from_sequence).take(limit);
        Ok(wanted.filter_map(|sequence| records.all.get(*sequence as usize - 1).cloned()).collect())
    }

    async fn last_sequence(&self, key: &AggregateKey) -> Result<u64, StoreError> {
        Ok(self.records().of.get(key).and_then(|of| of.last()).copied().unwrap_or(0))
    }

    async fn info(&self) -> Result<LogInfo, StoreError> {
        let incarnation_ms = u64::try_from(self.0.created.timestamp_millis()).unwrap_or(0);
        Ok(LogInfo { incarnation_ms, last_sequence: self.records().all.len() as u64 })
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription {
        let changes = self.0.last_sequence.subscribe();
        let cursor = Cursor { log: self.clone(), next: from_sequence.max(1), told: false, changes };
        futures::stream::unfold(cursor, Self::deliver).boxed()
    }

    fn subscribe_type(&self, kind: &'static str, from_sequence: u64) -> Subscription {
        let is_wanted = move |delivery: &Result<Delivery, StoreError>| match delivery {
            Ok(Delivery::Record(record)) => record.key.kind == kind,
            Ok(Delivery::CaughtUp { .. }) | Err(_) => true,
        };
        self.subscribe(from_sequence).filter(move |delivery| std::future::ready(is_wanted(delivery))).boxed()
    }

    async fn next_of_type(&self, kind: &'static str, after: u64) -> Result<NextOfType, StoreError> {
        let records = self.records();
        let later = records.all.iter().skip(usize::try_from(after).unwrap_or(usize::MAX));
        let next = later.map(|record| (record.position, &record.key)).find(|(_, key)| key.kind == kind);
        Ok(next.map_or(NextOfType::NoneUpTo(records.all.len() as u64), |(position, _)| NextOfType::At(position)))
    }

    async fn has_tenant(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        Ok(self.records().all.iter().any(|record| record.key.tenant == *tenant))
    }
}

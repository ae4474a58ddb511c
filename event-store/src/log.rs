//! The log as bytes: the interface of its two implementations.
//!
//! Nothing is decoded here. Positions rise and may have gaps. The records of one subject are in the order in which they were accepted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{AggregateKey, TenantId};
use futures::stream::BoxStream;

use crate::error::{AppendError, StoreError};

/// Largest record, in bytes. A command with larger events is refused.
pub const RECORD_MAX_BYTES: usize = 512 * 1024;

/// No limit for [`Log::read`], except the log's own limit for one aggregate.
pub const ALL: usize = usize::MAX;

/// An append-only log of records, one literal subject per aggregate.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Appends a record if `expected_last` is the sequence number of the aggregate's last record (0: it has none). Returns the new one.
    async fn append(&self, key: &AggregateKey, expected_last: u64, body: Bytes) -> Result<u64, AppendError>;

    /// Up to `limit` records of an aggregate from a sequence number on, in order. May lack the newest ones on a replicated log.
    async fn read(&self, key: &AggregateKey, from_sequence: u64, limit: usize) -> Result<Vec<RawRecord>, StoreError>;

    /// Sequence number of an aggregate's last record, from the leader; 0 when it has none.
    async fn last_sequence(&self, key: &AggregateKey) -> Result<u64, StoreError>;

    async fn info(&self) -> Result<LogInfo, StoreError>;

    /// Checks whether appends are stored now, without an append; the error says why not. Cheap enough for frequent calls.
    async fn writable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// All records from a sequence number on, then each as it is stored; never ends. Interruptions of the log are waited out. An error
    /// means that waiting does not help.
    fn subscribe(&self, from_sequence: u64) -> Subscription;

    /// The same for the aggregates of one type. The position of a `CaughtUp` may be that of any record.
    fn subscribe_type(&self, kind: &'static str, from_sequence: u64) -> Subscription;

    /// The first record of one type after a sequence number, as the leader has it now. Cheap when few records follow the number.
    async fn next_of_type(&self, kind: &'static str, after: u64) -> Result<NextOfType, StoreError>;

    /// Whether the log has any record of a tenant, as the leader has it now.
    async fn has_tenant(&self, tenant: &TenantId) -> Result<bool, StoreError>;
}

/// What the leader has of an aggregate type after a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextOfType {
    /// The sequence number of the first record.
    At(u64),
    /// There was none up to this sequence number, which is the log's last.
    NoneUpTo(u64),
}

/// Records as they arrive, each exactly once and in order.
pub type Subscription<R = RawRecord> = BoxStream<'static, Result<Delivery<R>, StoreError>>;

/// An item of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery<R = RawRecord> {
    Record(R),
    /// Everything up to and including `position` has been delivered. Sent whenever the end is reached; 0 when the log is empty.
    CaughtUp {
        position: u64,
    },
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRecord {
    /// Sequence number in the stream.
    pub position: u64,
    /// When the log stored it, by the log's own clock.
    pub stored_at: DateTime<Utc>,
    pub subject: String,
    pub key: AggregateKey,
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

/// The state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogInfo {
    /// When the log was created, in milliseconds since 1970. Identifies its incarnation.
    pub incarnation_ms: u64,
    /// 0 when it is empty.
    pub last_sequence: u64,
}

//! Where the web sessions of people are kept: a key-value bucket of sealed values, which every process follows in memory.
//!
//! A key is the keyed hash of a session's token, so the bucket opens nothing. Values are bytes here; who seals them knows their form. An
//! ended session leaves an empty value, its mark, which lives longer than any session: a process that was cut off learns of the end.

mod jetstream;
mod memory;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::StoreError;
use crate::log::Delivery;

pub use jetstream::JetStreamSessions;
pub use memory::MemorySessions;

/// What the bucket has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEntry {
    pub key: String,
    /// Sequence number of the last change.
    pub revision: u64,
    /// None: the session has ended.
    pub value: Option<Bytes>,
}

/// Changes of the bucket from its beginning, then each as it is stored; never ends. An error means that waiting does not help.
pub type SessionChanges = BoxStream<'static, Result<Delivery<SessionEntry>, StoreError>>;

/// The bucket. There are two: [`JetStreamSessions`] and [`MemorySessions`].
#[async_trait]
pub trait SessionBucket: Send + Sync + 'static {
    /// Stores a value under a key that has none.
    async fn create(&self, key: &str, value: Bytes) -> Result<(), StoreError>;

    /// Replaces a value if it is still the one of this revision; false if it has changed or is gone.
    async fn replace(&self, key: &str, revision: u64, value: Bytes) -> Result<bool, StoreError>;

    /// Leaves the mark of an ended session.
    async fn end(&self, key: &str) -> Result<(), StoreError>;

    /// What the leader has for a key now; none for an ended session, too.
    async fn get(&self, key: &str) -> Result<Option<SessionEntry>, StoreError>;

    /// Revision of the first change after another, as the leader has it now.
    async fn next_after(&self, revision: u64) -> Result<Option<u64>, StoreError>;

    fn changes(&self) -> SessionChanges;
}

//! The event store: loads aggregates from the log, through a bounded cache. Commands are in `execute`, history is in `history`.
//!
//! A replicated log answers reads from any replica, so a read may lack the newest records. An append detects that. Other callers that need
//! the newest state compare with the leader first ([`EventStore::load_fresh`]).

use std::sync::Arc;
use std::time::Duration;

use domain::{AggregateKey, Decider, Key};
use tokio::time::{Instant, sleep};

use crate::cache::{CACHE_MAX_BYTES, Cache};
use crate::context::Loaded;
use crate::error::StoreError;
use crate::log::{ALL, Log};

/// How long a read waits for a replica to have a record that the leader has.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two such reads.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(5);

/// Aggregates in a log. Clones share the log and the cache.
#[derive(Clone)]
pub struct EventStore {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) cache: Cache,
}

impl EventStore {
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log, cache: Cache::new(CACHE_MAX_BYTES) }
    }

    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// An aggregate as this process knows it. It may lack what other processes have just written. Version 0 if it does not exist.
    pub async fn load<A: Decider>(&self, key: &Key<A>) -> Result<Arc<Loaded<A>>, StoreError> {
        if let Some(cached) = self.cache.get(key.raw()) {
            return Ok(cached);
        }
        let loaded = self.advance(key.raw(), Arc::default(), 0).await?;
        Ok(loaded)
    }

    /// An aggregate with everything that was stored before this call.
    pub async fn load_fresh<A: Decider>(&self, key: &Key<A>) -> Result<Arc<Loaded<A>>, StoreError> {
        let loaded = self.load(key).await?;
        let last = self.log.last_sequence(key.raw()).await?;
        if loaded.last_sequence == last { Ok(loaded) } else { self.advance_to(key.raw(), loaded, last).await }
    }

    /// Brings `loaded` to the sequence number that the leader named.
    pub(crate) async fn advance_to<A: Decider>(
        &self,
        key: &AggregateKey,
        loaded: Arc<Loaded<A>>,
        last: u64,
    ) -> Result<Arc<Loaded<A>>, StoreError> {
        let from = if loaded.last_sequence > last { Arc::default() } else { loaded };
        self.advance(key, from, last).await
    }

    /// Reads the records after `loaded`, at least up to `at_least`.
    async fn advance<A: Decider>(
        &self,
        key: &AggregateKey,
        mut loaded: Arc<Loaded<A>>,
        at_least: u64,
    ) -> Result<Arc<Loaded<A>>, StoreError> {
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        loop {
            let records = self.log.read(key, loaded.last_sequence + 1, ALL).await?;
            if !records.is_empty() {
                Arc::make_mut(&mut loaded).apply_records(&records)?;
            }
            if loaded.last_sequence >= at_least {
                break;
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Unavailable(format!("no replica has caught up with position {at_least}")));
            }
            sleep(CATCH_UP_PAUSE).await;
        }
        if loaded.version > 0 {
            self.cache.put(key, &loaded);
        }
        Ok(loaded)
    }
}

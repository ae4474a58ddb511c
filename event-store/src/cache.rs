//! Aggregates kept in memory. The least recently used are evicted first.
//!
//! An entry may be older than the log, but is never wrong: the log is append-only, and every append names the sequence number that it
//! expects. An append updates an entry in place, so that a usual command copies no aggregate.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{AggregateKey, Decider};
use moka::policy::EvictionPolicy;

use crate::context::Loaded;

/// Most bytes of all cached aggregates: some 40,000 devices.
pub const CACHE_MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Cost of an entry beside its records and commands, in bytes: measured with registered devices, whose state takes 3.7 KB each.
const ENTRY_BYTES: usize = 3 * 1024;
/// Cost of one remembered command, in bytes.
const COMMAND_BYTES: usize = 64;
/// Cost of one thread, in bytes.
const THREAD_BYTES: usize = 64;

type Shared = Arc<dyn Any + Send + Sync>;

#[derive(Clone)]
struct Entry {
    slot: Arc<Mutex<Option<Shared>>>,
    /// The weight of the entry that the cache knows.
    weight: u32,
}

impl Entry {
    fn slot(&self) -> MutexGuard<'_, Option<Shared>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bounded cache of aggregates of any type.
#[derive(Clone)]
pub(crate) struct Cache(moka::sync::Cache<AggregateKey, Entry>);

impl Cache {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let weight = |_: &AggregateKey, entry: &Entry| entry.weight;
        // The default policy doesn't take in an entry that was used less often than those that would have to go. In a large fleet a device
        // that begins its update could be read from the log again for its next commands.
        let policy = EvictionPolicy::lru();
        Self(moka::sync::Cache::builder().max_capacity(max_bytes).weigher(weight).eviction_policy(policy).build())
    }

    pub(crate) fn get<A: Decider>(&self, key: &AggregateKey) -> Option<Arc<Loaded<A>>> {
        let shared = self.0.get(key)?.slot().clone()?;
        shared.downcast().ok()
    }

    /// Keeps an aggregate that was read, unless a newer one is cached.
    pub(crate) fn put<A: Decider>(&self, key: &AggregateKey, loaded: &Arc<Loaded<A>>) {
        self.update(key, loaded.clone(), |_| ());
    }

    /// Changes `loaded` and keeps it. The change is made in place if only the cache and the caller have a reference to it.
    pub(crate) fn update<A: Decider>(
        &self,
        key: &AggregateKey,
        mut loaded: Arc<Loaded<A>>,
        change: impl FnOnce(&mut Loaded<A>),
    ) -> Arc<Loaded<A>> {
        let known = self.0.get(key);
        if let Some(entry) = &known {
            let mut slot = entry.slot();
            if newer_than(&slot, &loaded) {
                drop(slot);
                change(Arc::make_mut(&mut loaded));
                return loaded;
            }
            *slot = None;
            change(Arc::make_mut(&mut loaded));
            *slot = Some(loaded.clone());
        } else {
            change(Arc::make_mut(&mut loaded));
        }
        let weight = weight(&loaded);
        if known.is_none_or(|entry| weight / 2 > entry.weight) {
            self.0.insert(key.clone(), Entry { slot: Arc::new(Mutex::new(Some(loaded.clone()))), weight });
        }
        loaded
    }

    pub(crate) fn remove(&self, key: &AggregateKey) {
        self.0.invalidate(key);
    }
}

fn newer_than<A: Decider>(slot: &Option<Shared>, loaded: &Loaded<A>) -> bool {
    let held = slot.as_ref().and_then(|held| held.downcast_ref::<Loaded<A>>());
    held.is_some_and(|held| held.last_sequence > loaded.last_sequence)
}

fn weight<A: Decider>(loaded: &Loaded<A>) -> u32 {
    let commands = loaded.recent.len() * COMMAND_BYTES;
    let bytes = ENTRY_BYTES + loaded.bytes + commands + loaded.threads.len() * THREAD_BYTES;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use cqrs_es::Aggregate as _;
    use domain::TenantId;
    use domain::device::Device;

    use super::*;

    #[test]
    fn an_aggregate_that_was_just_used_is_kept_however_often_others_were() {
        const KEPT: usize = 100;
        let cache = Cache::new((KEPT * ENTRY_BYTES) as u64);
        let key = |n: usize| AggregateKey {
            tenant: TenantId::new("acme").unwrap(),
            kind: Device::TYPE.to_owned(),
            id: format!("d-{n}"),
        };
        let device = Arc::<Loaded<Device>>::default();
        for n in (0..KEPT).cycle().take(10 * KEPT) {
            cache.put(&key(n), &device);
            cache.0.run_pending_tasks();
            assert!(cache.get::<Device>(&key(n)).is_some());
        }
        for n in KEPT..2 * KEPT {
            cache.put(&key(n), &device);
            cache.0.run_pending_tasks();
            assert!(cache.get::<Device>(&key(n)).is_some(), "{n}");
        }
        assert!(cache.get::<Device>(&key(0)).is_none());
        assert!(cache.0.weighted_size() <= (KEPT * ENTRY_BYTES) as u64);
    }
}

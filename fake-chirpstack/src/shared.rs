//! What all parts of the double share: the store, the faults, the counts of calls, and what goes out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::faults::Faults;
use crate::publisher::Publisher;
use crate::radio::{Downlink, Outgoing};
use crate::store::Store;

/// Downlinks that a slow listener may miss by.
const DOWNLINKS_MAX: usize = 10_000;

/// What all parts of the double share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    calls: Mutex<BTreeMap<String, u64>>,
    pub(crate) publisher: Publisher,
    downlinks: broadcast::Sender<Downlink>,
}

impl Shared {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self {
            store: Mutex::new(Store::new()),
            faults: Mutex::default(),
            calls: Mutex::default(),
            publisher,
            downlinks: broadcast::channel(DOWNLINKS_MAX).0,
        }
    }

    /// Works on the store, then sends what the work put out.
    pub(crate) fn with_store<T>(&self, work: impl FnOnce(&mut Store, &mut Outgoing) -> T) -> T {
        let mut outgoing = Outgoing::default();
        let result = work(&mut lock(&self.store), &mut outgoing);
        for event in outgoing.events {
            self.publisher.publish(event);
        }
        for downlink in outgoing.downlinks {
            // An error says only that there is no listener.
            let _ = self.downlinks.send(downlink);
        }
        result
    }

    pub(crate) fn listen_to_downlinks(&self) -> broadcast::Receiver<Downlink> {
        self.downlinks.subscribe()
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// How many calls there were whose path ends with this text.
    pub(crate) fn calls(&self, path: &str) -> u64 {
        lock(&self.calls).iter().filter(|(called, _)| called.ends_with(path)).map(|(_, count)| count).sum()
    }

    pub(crate) fn count(&self, path: &str) {
        *lock(&self.calls).entry(path.to_owned()).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

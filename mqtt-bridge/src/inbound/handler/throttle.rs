//! How many facts a device may tell of itself beside any update: boots, trials, slots, attributes, versions nobody asked for.
//!
//! Each is an event that is kept for ever, and a device that boots in a loop tells one after another. So they are counted in the long run.
//! What goes beyond is held unacknowledged until there is room, or a newer one takes its place: the last word always arrives. What moves
//! an update or brings a device back is never held.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use domain::device::{Device, DeviceEvent};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::super::limits::{Bucket, REMEMBERED_MAX, Rate};

/// What is held counts as unheard, and clocks of silence wait for that up to a minute in quiet: so less. A boot loop writes 630,000
/// records a year, each of some 300 bytes.
const INTERVAL: Duration = Duration::from_secs(50);
/// Boots, trials, slots, attributes: more than anybody restarts a device by hand in a sitting.
const LOW_VALUE: Rate = Rate { burst: 60, interval: INTERVAL };
/// Versions, and all of it while an update is under way: no boot loop is to use up what they need.
const HIGH_VALUE: Rate = Rate { burst: 120, interval: INTERVAL };
/// Devices of which something is held. Beyond that it is written: what is held takes room among the broker's unacknowledged messages.
const HELD_MAX: usize = 1_000;

/// A message that is to wait until there is room for what it says.
#[derive(Debug)]
pub(in super::super) struct Throttled {
    pub(in super::super) until: Instant,
    pub(in super::super) permit: OwnedSemaphorePermit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Nothing, or more than what a device is.
    Free,
    LowValue,
    HighValue,
}

pub(super) struct SelfReportThrottle {
    spent: Cache<u64, [Bucket; 2]>,
    hasher: RandomState,
    held: Arc<Semaphore>,
}

impl SelfReportThrottle {
    pub(super) fn new() -> Self {
        let refill = LOW_VALUE.refill().max(HIGH_VALUE.refill());
        Self {
            spent: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(refill).build(),
            hasher: RandomState::new(),
            held: Arc::new(Semaphore::new(HELD_MAX)),
        }
    }

    /// Whether a device has used all of a budget, so that its words must be looked at first.
    pub(super) fn is_exhausted(&self, subject: &impl Hash, now: Instant) -> bool {
        let Some([low_value, high_value]) = self.spent.get(&self.hasher.hash_one(subject)) else { return false };
        low_value.ready_at(LOW_VALUE, now) > now || high_value.ready_at(HIGH_VALUE, now) > now
    }

    /// Whether what would follow from a message must wait.
    pub(super) fn check(
        &self,
        subject: &impl Hash,
        device: &Device,
        events: &[DeviceEvent],
        now: Instant,
    ) -> Option<Throttled> {
        let [low_value, high_value] = self.spent.get(&self.hasher.hash_one(subject))?;
        let until = match weight(device, events) {
            Weight::Free => return None,
            Weight::LowValue => low_value.ready_at(LOW_VALUE, now),
            Weight::HighValue => high_value.ready_at(HIGH_VALUE, now),
        };
        if until <= now {
            return None;
        }
        let permit = Arc::clone(&self.held).try_acquire_owned().ok()?;
        Some(Throttled { until, permit })
    }

    /// Counts what has been written.
    pub(super) fn charge(&self, subject: &impl Hash, device: &Device, events: &[DeviceEvent], now: Instant) {
        let (hash, weight) = (self.hasher.hash_one(subject), weight(device, events));
        if weight == Weight::Free {
            return;
        }
        let [mut low_value, mut high_value] = self.spent.get(&hash).unwrap_or_default();
        match weight {
            Weight::Free => {}
            Weight::LowValue => low_value.charge(LOW_VALUE, now),
            Weight::HighValue => high_value.charge(HIGH_VALUE, now),
        }
        self.spent.insert(hash, [low_value, high_value]);
    }
}

fn weight(device: &Device, events: &[DeviceEvent]) -> Weight {
    if events.is_empty() || !events.iter().all(DeviceEvent::is_self_report) {
        Weight::Free
    } else if device.has_unfinished_update() || !events.iter().all(DeviceEvent::is_low_value) {
        Weight::HighValue
    } else {
        Weight::LowValue
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn boot(versions: &[(&str, &str)]) -> Vec<DeviceEvent> {
        let versions: BTreeMap<_, _> = versions.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        vec![DeviceEvent::VersionsReported {
            boot_id: Some("b".to_owned()),
            versions,
            slot: None,
            trial: false,
            mark: None,
        }]
    }

    #[test]
    fn a_boot_loop_is_held_and_a_version_or_a_return_is_not() {
        let (throttle, device, start) = (SelfReportThrottle::new(), Device::default(), Instant::now());
        for _ in 0..LOW_VALUE.burst {
            assert!(!throttle.is_exhausted(&"d-1", start));
            throttle.charge(&"d-1", &device, &boot(&[]), start);
        }
        assert!(throttle.is_exhausted(&"d-1", start));
        let throttled = throttle.check(&"d-1", &device, &boot(&[]), start).unwrap();
        assert_eq!(throttled.until, start + INTERVAL);
        let mut back = boot(&[]);
        back.push(DeviceEvent::CameOnline { session: None, mark: None });
        for passes in [boot(&[("firmware", "2")]), back, vec![]] {
            assert!(throttle.check(&"d-1", &device, &passes, start).is_none(), "{passes:?}");
        }
        assert!(!throttle.is_exhausted(&"d-2", start));
        assert!(throttle.check(&"d-1", &device, &boot(&[]), throttled.until).is_none(), "there is room again");
    }

    #[test]
    fn versions_have_a_budget_of_their_own() {
        let (throttle, device, start) = (SelfReportThrottle::new(), Device::default(), Instant::now());
        (0..HIGH_VALUE.burst).for_each(|_| throttle.charge(&"d-1", &device, &boot(&[("firmware", "2")]), start));
        assert!(throttle.check(&"d-1", &device, &boot(&[("firmware", "1")]), start).is_some());
        assert!(throttle.check(&"d-1", &device, &boot(&[]), start).is_none());
    }

    #[test]
    fn no_more_is_held_than_the_broker_can_bear() {
        let (throttle, device, start) = (SelfReportThrottle::new(), Device::default(), Instant::now());
        (0..LOW_VALUE.burst).for_each(|_| throttle.charge(&"d-1", &device, &boot(&[]), start));
        let held: Vec<_> = (0..HELD_MAX).map(|_| throttle.check(&"d-1", &device, &boot(&[]), start).unwrap()).collect();
        assert!(throttle.check(&"d-1", &device, &boot(&[]), start).is_none());
        drop(held);
        assert!(throttle.check(&"d-1", &device, &boot(&[]), start).is_some());
    }
}

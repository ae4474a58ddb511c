//! Throttles self-reports of devices outside any update: boots, trials, slots, attributes, versions that no update brought.
//!
//! Each is an event that is kept forever, and a device in a boot loop sends many. So their long-term rate is limited. A message above the
//! rate stays unacknowledged until the rate allows it or a newer message replaces it, so the newest message is always applied. Messages
//! that change an update or bring a device back online are never throttled.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use domain::device::{Device, DeviceEvent};
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::intake_error::Throttled;
use crate::limits::{Bucket, REMEMBERED_MAX, Rate};

/// A throttled message counts as unprocessed, and clocks of silence warn after a minute, so the interval is shorter. A boot loop writes
/// 630,000 records a year, each of about 300 bytes.
const INTERVAL: Duration = Duration::from_secs(50);
/// Boots, trials, slots, attributes: more restarts at once than a person makes by hand.
const LOW_VALUE: Rate = Rate { burst: 60, interval: INTERVAL };
/// Versions, and all self-reports while an update is under way. Separate, so that a boot loop does not use it up.
const HIGH_VALUE: Rate = Rate { burst: 120, interval: INTERVAL };
/// Most devices with a throttled message. Above that messages are applied at once, because throttled ones use up the broker's limit of
/// unacknowledged messages.
const HELD_MAX: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// No event, or not only self-reports.
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

    /// Whether a device has used up a rate, so that its messages must be checked before they are applied.
    pub(super) fn is_exhausted(&self, subject: &impl Hash, now: Instant) -> bool {
        let Some([low_value, high_value]) = self.spent.get(&self.hasher.hash_one(subject)) else { return false };
        low_value.ready_at(LOW_VALUE, now) > now || high_value.ready_at(HIGH_VALUE, now) > now
    }

    /// Whether the events of a message must wait.
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

    /// Counts events that were written.
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
    fn a_boot_loop_is_throttled_and_a_version_or_a_return_is_not() {
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
        assert!(throttle.check(&"d-1", &device, &boot(&[]), throttled.until).is_none(), "the rate allows it again");
    }

    #[test]
    fn versions_have_a_rate_of_their_own() {
        let (throttle, device, start) = (SelfReportThrottle::new(), Device::default(), Instant::now());
        (0..HIGH_VALUE.burst).for_each(|_| throttle.charge(&"d-1", &device, &boot(&[("firmware", "2")]), start));
        assert!(throttle.check(&"d-1", &device, &boot(&[("firmware", "1")]), start).is_some());
        assert!(throttle.check(&"d-1", &device, &boot(&[]), start).is_none());
    }

    #[test]
    fn the_number_of_throttled_messages_is_limited() {
        let (throttle, device, start) = (SelfReportThrottle::new(), Device::default(), Instant::now());
        (0..LOW_VALUE.burst).for_each(|_| throttle.charge(&"d-1", &device, &boot(&[]), start));
        let held: Vec<_> = (0..HELD_MAX).map(|_| throttle.check(&"d-1", &device, &boot(&[]), start).unwrap()).collect();
        assert!(throttle.check(&"d-1", &device, &boot(&[]), start).is_none());
        drop(held);
        assert!(throttle.check(&"d-1", &device, &boot(&[]), start).is_some());
    }
}

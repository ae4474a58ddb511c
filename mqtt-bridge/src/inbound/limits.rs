//! What is said too often is dropped: bounded memory of when a device last said it.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use moka::sync::Cache;

/// Devices remembered by one limit; beyond that the oldest are forgotten and may speak early.
const REMEMBERED_MAX: u64 = 500_000;

/// At most once in an interval, per subject.
pub(super) struct Limit {
    seen: Cache<u64, ()>,
    hasher: RandomState,
}

impl Limit {
    pub(super) fn once_in(interval: Duration) -> Self {
        Self {
            seen: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(interval).build(),
            hasher: RandomState::new(),
        }
    }

    /// Whether it was noted within the interval.
    pub(super) fn is_over(&self, subject: &impl Hash) -> bool {
        self.seen.contains_key(&self.hasher.hash_one(subject))
    }

    /// Notes that it has been said. To be called when it has had its effect, so that a message that comes again is not dropped.
    pub(super) fn note(&self, subject: &impl Hash) {
        self.seen.insert(self.hasher.hash_one(subject), ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_within_the_interval_is_over_the_limit() {
        let limit = Limit::once_in(Duration::from_millis(50));
        assert!(!limit.is_over(&("acme", "d-1")));
        limit.note(&("acme", "d-1"));
        assert!(limit.is_over(&("acme", "d-1")));
        assert!(!limit.is_over(&("acme", "d-2")));
        std::thread::sleep(Duration::from_millis(60));
        assert!(!limit.is_over(&("acme", "d-1")));
    }
}

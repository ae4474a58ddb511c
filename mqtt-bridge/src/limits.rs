//! Rate limits for messages of devices: at most once in an interval, or a rate with a burst. Memory is bounded.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// Devices kept by one limit. Above that the oldest are evicted, and their limit starts again.
pub(crate) const REMEMBERED_MAX: u64 = 500_000;

/// At most once in an interval, per subject.
pub(crate) struct Limit {
    seen: Cache<u64, ()>,
    hasher: RandomState,
}

impl Limit {
    pub(crate) fn once_in(interval: Duration) -> Self {
        Self {
            seen: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(interval).build(),
            hasher: RandomState::new(),
        }
    }

    /// Whether it was recorded within the interval.
    pub(crate) fn is_over(&self, subject: &impl Hash) -> bool {
        self.seen.contains_key(&self.hasher.hash_one(subject))
    }

    /// Records an occurrence. Call it after the message was applied, so that a redelivered message is not dropped.
    pub(crate) fn record(&self, subject: &impl Hash) {
        self.seen.insert(self.hasher.hash_one(subject), ());
    }
}

/// `burst` at once, then one in each interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) interval: Duration,
}

impl Rate {
    /// Time until the whole burst is available again.
    pub(crate) fn refill(self) -> Duration {
        self.interval * self.burst
    }
}

/// What was taken from one rate. A new bucket is full.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes one, if available.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let there_is_one = self.ready_at(rate, now) <= now;
        if there_is_one {
            self.charge(rate, now);
        }
        there_is_one
    }

    /// Takes one in any case. The bucket never becomes negative.
    pub(crate) fn charge(&mut self, rate: Rate, now: Instant) {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now)) + rate.interval;
        self.full_at = Some(full_at.min(now + rate.refill()));
    }

    /// When the next one is available, now at the earliest.
    pub(crate) fn ready_at(&self, rate: Rate, now: Instant) -> Instant {
        let all_but_one = rate.interval * rate.burst.saturating_sub(1);
        self.full_at.and_then(|full_at| full_at.checked_sub(all_but_one)).map_or(now, |ready_at| ready_at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_within_the_interval_is_over_the_limit() {
        let limit = Limit::once_in(Duration::from_secs(3_600));
        assert!(!limit.is_over(&("acme", "d-1")));
        limit.record(&("acme", "d-1"));
        assert!(limit.is_over(&("acme", "d-1")));
        assert!(!limit.is_over(&("acme", "d-2")));
    }

    #[test]
    fn after_the_interval_it_is_allowed_again() {
        let limit = Limit::once_in(Duration::from_millis(1));
        limit.record(&"d-1");
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while limit.is_over(&"d-1") {
            assert!(std::time::Instant::now() < deadline, "never evicted");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_one_in_each_interval() {
        let rate = Rate { burst: 3, interval: Duration::from_secs(10) };
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let taken = |bucket: &mut Bucket, now| (0..5).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(bucket.ready_at(rate, start), start + rate.interval);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(9)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(25)), 2);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3_600)), 3);
    }

    #[test]
    fn charges_on_an_empty_bucket_do_not_add_up() {
        let rate = Rate { burst: 2, interval: Duration::from_secs(10) };
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        (0..50).for_each(|_| bucket.charge(rate, start));
        assert_eq!(bucket.ready_at(rate, start), start + rate.interval);
    }
}

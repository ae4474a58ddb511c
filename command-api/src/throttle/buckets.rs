//! One bucket for each key. They are bounded and forgotten: a key that sent nothing for a window has a full bucket anyway.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// Requests of this time may come at once, in seconds.
pub(crate) const WINDOW_S: u32 = 10;
/// Most keys of each kind, some 5 MB. Beyond, the key that was seen least recently is forgotten.
const KEYS_MAX: u64 = 20_000;

type Bucket = DefaultDirectRateLimiter<StateInformationMiddleware>;

/// Buckets of one policy.
pub(super) struct Buckets<K> {
    policy: &'static str,
    /// None if nothing is limited.
    quota: Option<Quota>,
    buckets: Cache<K, Arc<Bucket>>,
    clock: DefaultClock,
}

/// A key's state after a request was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) policy: &'static str,
    pub(super) per_second: u32,
    /// Requests that may come at once now.
    pub(super) remaining: u32,
    /// How long the caller must wait, if the request is refused.
    pub(super) wait: Option<Duration>,
}

impl Standing {
    /// Requests that may come within a window.
    pub(super) fn burst(&self) -> u32 {
        self.per_second.saturating_mul(WINDOW_S)
    }

    /// Until the bucket is full, in seconds.
    pub(super) fn full_in_s(&self) -> u32 {
        (self.burst() - self.remaining.min(self.burst())).div_ceil(self.per_second.max(1))
    }

    /// Until the next request may come, in seconds.
    pub(super) fn wait_s(&self) -> u32 {
        let wait = self.wait.unwrap_or_default();
        u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
    }
}

impl<K: Hash + Eq + Send + Sync + 'static> Buckets<K> {
    pub(super) fn new(policy: &'static str, per_second: u32) -> Self {
        let burst = NonZeroU32::new(per_second.saturating_mul(WINDOW_S));
        let quota = NonZeroU32::new(per_second)
            .zip(burst)
            .map(|(per_second, burst)| Quota::per_second(per_second).allow_burst(burst));
        let buckets = Cache::builder()
            .max_capacity(KEYS_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(Duration::from_secs(WINDOW_S.into()))
            .build();
        Self { policy, quota, buckets, clock: DefaultClock::default() }
    }

    /// Counts a request; none if nothing is limited.
    pub(super) fn count(&self, key: K) -> Option<Standing> {
        let quota = self.quota?;
        let new = || Arc::new(RateLimiter::direct(quota).with_middleware::<StateInformationMiddleware>());
        let bucket = self.buckets.get_with(key, new);
        let per_second = quota.burst_size().get() / WINDOW_S;
        let (remaining, wait) = match bucket.check() {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => (0, Some(refused.wait_time_from(self.clock.now()))),
        };
        Some(Standing { policy: self.policy, per_second, remaining, wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_window_at_once_and_others_have_theirs() {
        let buckets = Buckets::new("tenant", 1);
        let standings: Vec<_> = (0..WINDOW_S).map(|_| buckets.count("a").unwrap()).collect();
        assert!(standings.iter().all(|standing| standing.wait.is_none()));
        assert_eq!((standings[0].remaining, standings[0].full_in_s()), (WINDOW_S - 1, 1));
        let refused = buckets.count("a").unwrap();
        assert_eq!((refused.remaining, refused.wait_s(), refused.full_in_s()), (0, 1, WINDOW_S));
        assert!(refused.wait.unwrap() <= Duration::from_secs(1));
        assert!(buckets.count("b").unwrap().wait.is_none());
    }

    #[test]
    fn without_a_rate_nothing_is_counted() {
        assert_eq!(Buckets::new("tenant", 0).count("a"), None);
    }

    #[test]
    fn there_is_a_bound_of_keys() {
        let buckets = Buckets::new("address", 1);
        for key in 0..2 * KEYS_MAX {
            buckets.count(key);
        }
        buckets.buckets.run_pending_tasks();
        assert!(buckets.buckets.entry_count() <= KEYS_MAX);
    }

    #[test]
    fn counting_costs_little() {
        const COUNTED: u32 = 20_000;
        let buckets = Buckets::new("tenant", u32::MAX / WINDOW_S);
        let began = std::time::Instant::now();
        for n in 0..COUNTED {
            buckets.count(n % 100);
        }
        let each = began.elapsed() / COUNTED;
        println!("{each:?} for each request");
        assert!(each < Duration::from_micros(50), "{each:?}");
    }
}

//! How fast one device is listened to, per kind of message. Devices that work never notice.

use std::time::Duration;

use tokio::time::Instant;

use super::super::limits::{Bucket, Rate};
use super::coalesce::Kind;

/// A whole update within a second says three of these, each perhaps twice: ten such updates at once, then one each second or so.
const PRESENCE: Rate = Rate { burst: 60, interval: Duration::from_millis(500) };
/// A whole update within a second has some 15 reports, each perhaps twice: four such updates at once, then one in three seconds.
const REPORT: Rate = Rate { burst: 120, interval: Duration::from_millis(100) };
/// After a boot or a change.
const INFO: Rate = Rate { burst: 30, interval: Duration::from_secs(1) };
/// Ten each second, and what a device kept while it had no connection.
pub(super) const MEASUREMENTS: Rate = Rate { burst: 240, interval: Duration::from_millis(100) };
/// After each connect.
const OTHER: Rate = Rate { burst: 60, interval: Duration::from_millis(500) };

/// After this time without a message everything is full again.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// What one device has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    buckets: [Bucket; 5],
}

impl Rates {
    pub(super) fn take(&mut self, kind: Kind, now: Instant) -> bool {
        self.buckets[index(kind)].take(rate(kind), now)
    }

    pub(super) fn ready_at(&self, kind: Kind, now: Instant) -> Instant {
        self.buckets[index(kind)].ready_at(rate(kind), now)
    }
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Presence => 0,
        Kind::Report => 1,
        Kind::Info => 2,
        Kind::Measurements => 3,
        Kind::Other => 4,
    }
}

fn rate(kind: Kind) -> Rate {
    match kind {
        Kind::Presence => PRESENCE,
        Kind::Report => REPORT,
        Kind::Info => INFO,
        Kind::Measurements => MEASUREMENTS,
        Kind::Other => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_was_full() {
        for kind in [Kind::Presence, Kind::Report, Kind::Info, Kind::Measurements, Kind::Other] {
            assert!(rate(kind).refill() <= FORGOTTEN_AFTER, "{kind:?}");
        }
    }

    #[test]
    fn one_kind_leaves_the_others_alone() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        while rates.take(Kind::Presence, now) {}
        assert!(rates.take(Kind::Report, now));
    }
}

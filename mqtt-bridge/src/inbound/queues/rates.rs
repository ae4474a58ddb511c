//! Rate limits of one device, per kind of message. Devices that work correctly stay below them.

use std::time::Duration;

use tokio::time::Instant;

use super::coalesce::Kind;
use crate::limits::{Bucket, Rate};

/// A whole update within a second has three of these, each perhaps twice: ten such updates at once, then about one each second.
const PRESENCE: Rate = Rate { burst: 60, interval: Duration::from_millis(500) };
/// A whole update within a second has some 15 reports, each perhaps twice: four such updates at once, then one in three seconds.
const REPORT: Rate = Rate { burst: 120, interval: Duration::from_millis(100) };
/// After a boot or a change.
const INFO: Rate = Rate { burst: 30, interval: Duration::from_secs(1) };
/// Ten each second, and a burst after a time without connection.
pub(super) const MEASUREMENTS: Rate = Rate { burst: 240, interval: Duration::from_millis(100) };
/// Three for each of eight commands, each perhaps twice.
const RUN_REPORT: Rate = Rate { burst: 60, interval: Duration::from_millis(100) };
/// Nearly all that is kept of an update at once, then 16 KiB each second.
pub(super) const LOG: Rate = Rate { burst: 60, interval: Duration::from_secs(1) };
/// After each connect.
const OTHER: Rate = Rate { burst: 60, interval: Duration::from_millis(500) };

/// After this time without a message all rates are full again.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Used rates of one device.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    buckets: [Bucket; 7],
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
        Kind::RunReport => 5,
        Kind::Log => 6,
    }
}

fn rate(kind: Kind) -> Rate {
    match kind {
        Kind::Presence => PRESENCE,
        Kind::Report => REPORT,
        Kind::Info => INFO,
        Kind::Measurements => MEASUREMENTS,
        Kind::RunReport => RUN_REPORT,
        Kind::Log => LOG,
        Kind::Other => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_rate_was_full() {
        let kinds =
            [Kind::Presence, Kind::Report, Kind::Info, Kind::Measurements, Kind::RunReport, Kind::Log, Kind::Other];
        for kind in kinds {
            assert!(rate(kind).refill() <= FORGOTTEN_AFTER, "{kind:?}");
        }
    }

    #[test]
    fn kinds_have_independent_rates() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        while rates.take(Kind::Presence, now) {}
        assert!(rates.take(Kind::Report, now));
    }
}

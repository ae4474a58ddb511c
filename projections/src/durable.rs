//! Which positions a death of PostgreSQL can't take back.
//!
//! Projectors don't wait for PostgreSQL's disk (`synchronous_commit = off`): what was committed in the last moments before its death is
//! lost, rows and checkpoint together, and is read from the log again.

use std::time::{Duration, Instant};

/// Commits are on the disk after this long: PostgreSQL writes them after three times `wal_writer_delay` (200 ms) at the latest.
const ON_DISK_AFTER: Duration = Duration::from_secs(2);

/// The way of one projection's position through the last moments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    on_disk: u64,
    /// An earlier position, and the latest; each with when it was committed.
    earlier: Option<(Instant, u64)>,
    latest: Option<(Instant, u64)>,
}

impl Durable {
    /// The projection has come to a position; one that is lower means that PostgreSQL has lost something.
    pub(crate) fn reaches(&mut self, position: u64, now: Instant) {
        if self.latest.is_some_and(|(_, latest)| position < latest) {
            *self = Self { on_disk: self.on_disk.min(position), ..Self::default() };
        }
        self.on_disk = self.position(now);
        if self.latest.is_some_and(|(_, latest)| position == latest) {
            return;
        }
        if self.earlier.is_none_or(|(_, earlier)| earlier <= self.on_disk) {
            self.earlier = Some((now, position));
        }
        self.latest = Some((now, position));
    }

    /// The highest position that stays, whatever happens to PostgreSQL.
    pub(crate) fn position(&self, now: Instant) -> u64 {
        let old = |at: Instant| now.saturating_duration_since(at) >= ON_DISK_AFTER;
        let positions = [self.earlier, self.latest].into_iter().flatten().filter(|(at, _)| old(*at));
        positions.map(|(_, position)| position).max().unwrap_or(0).max(self.on_disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_durable_when_its_commit_is_old_enough() {
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut durable = Durable::default();
        for (ms, position) in [(0, 10), (1_000, 20), (1_900, 30)] {
            durable.reaches(position, after(ms));
        }
        assert_eq!(durable.position(after(1_950)), 0);
        assert_eq!(durable.position(after(2_000)), 10);
        assert_eq!(durable.position(after(3_900)), 30);
        durable.reaches(40, after(2_100));
        assert_eq!((durable.position(after(2_100)), durable.position(after(4_100))), (10, 40));
    }

    #[test]
    fn what_postgresql_has_lost_is_not_durable() {
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut durable = Durable::default();
        durable.reaches(10, start);
        durable.reaches(20, after(2_500));
        durable.reaches(15, after(2_600));
        assert_eq!(durable.position(after(2_600)), 10);
        assert_eq!(durable.position(after(4_600)), 15);
    }
}

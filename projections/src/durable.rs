//! Which positions survive a crash of PostgreSQL.
//!
//! Projectors don't wait for PostgreSQL's disk (`synchronous_commit = off`). A crash loses the latest commits, rows and checkpoint
//! together; they are then applied from the log again.

use std::time::{Duration, Instant};

/// Commits are on disk after this long: PostgreSQL writes after three times `wal_writer_delay` (200 ms), later when the disk is busy.
const ON_DISK_AFTER: Duration = Duration::from_secs(30);

/// The recent positions of one projection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    on_disk: u64,
    /// An earlier position and the latest, each with its commit time.
    earlier: Option<(Instant, u64)>,
    latest: Option<(Instant, u64)>,
}

impl Durable {
    /// Records a position that was committed. A lower one than before means that PostgreSQL has lost commits.
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

    /// The highest position that survives a crash of PostgreSQL.
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
        for (ms, position) in [(0, 10), (10_000, 20), (19_000, 30)] {
            durable.reaches(position, after(ms));
        }
        assert_eq!(durable.position(after(29_000)), 0);
        assert_eq!(durable.position(after(30_000)), 10);
        assert_eq!(durable.position(after(49_000)), 30);
        durable.reaches(40, after(31_000));
        assert_eq!((durable.position(after(31_000)), durable.position(after(61_000))), (10, 40));
    }

    #[test]
    fn commits_that_postgresql_lost_are_not_durable() {
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        let mut durable = Durable::default();
        durable.reaches(10, start);
        durable.reaches(20, after(31_000));
        durable.reaches(15, after(32_000));
        assert_eq!(durable.position(after(32_000)), 10);
        assert_eq!(durable.position(after(62_000)), 15);
    }
}

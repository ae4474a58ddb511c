//! Estimates the remaining time of reading the log from its recent pace, since the pace changes on the way.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// The pace is measured over this time.
const WINDOW: Duration = Duration::from_secs(15);
/// Shortest time to measure a pace.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// Shortest time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Observations of the last [`WINDOW`]: time since the start, and position.
#[derive(Default)]
pub(crate) struct Eta {
    looks: VecDeque<(Duration, u64)>,
    said: Option<Duration>,
}

/// Progress of the reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    position: u64,
    head: u64,
    left: Option<Duration>,
}

impl Eta {
    /// Records a position. Returns the progress once a second, and at the end.
    pub(crate) fn look(&mut self, elapsed: Duration, position: u64, head: u64) -> Option<Progress> {
        while self.looks.len() > 1 && elapsed.saturating_sub(self.looks[0].0) > WINDOW {
            self.looks.pop_front();
        }
        let left = self.left(elapsed, position, head);
        self.looks.push_back((elapsed, position));
        let due = self.said.is_none_or(|said| elapsed.saturating_sub(said) >= LINE_INTERVAL);
        if !due && position < head {
            return None;
        }
        self.said = Some(elapsed);
        Some(Progress { position, head, left })
    }

    /// None before a pace is known.
    fn left(&self, elapsed: Duration, position: u64, head: u64) -> Option<Duration> {
        let (since, from) = *self.looks.front()?;
        let (time, way) = (elapsed.saturating_sub(since), position.saturating_sub(from));
        if time < WINDOW_MIN || way == 0 {
            return None;
        }
        let seconds = time.as_secs_f64() * head.saturating_sub(position) as f64 / way as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} positions", self.position, self.head)?;
        match self.left.map(|left| left.as_secs()) {
            _ if self.position >= self.head => Ok(()),
            None => Ok(()),
            Some(seconds @ 0..120) => write!(f, ", about {} s left", seconds.max(1)),
            Some(seconds @ 120..7_200) => write!(f, ", about {} min left", seconds / 60),
            Some(seconds) => write!(f, ", about {} h left", seconds / 3_600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn said(eta: &mut Eta, at: f64, position: u64) -> String {
        eta.look(seconds(at), position, 1_000_000).map(|progress| progress.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_first_line_names_no_time_since_there_is_no_pace() {
        let mut eta = Eta::default();
        assert_eq!(said(&mut eta, 0.01, 100), "100 of 1000000 positions");
        assert_eq!(said(&mut eta, 0.5, 5_000), "", "one line a second");
        assert_eq!(said(&mut eta, 1.01, 10_100), "10100 of 1000000 positions, about 98 s left");
    }

    #[test]
    fn the_time_left_follows_the_pace_of_late() {
        let mut eta = Eta::default();
        for second in 0_u32..=10 {
            said(&mut eta, second.into(), u64::from(second) * 50_000);
        }
        for second in 11_u32..=40 {
            said(&mut eta, second.into(), 500_000 + u64::from(second - 10) * 1_000);
        }
        assert_eq!(said(&mut eta, 41.0, 531_000), "531000 of 1000000 positions, about 7 min left");
    }

    #[test]
    fn a_stall_names_no_time_and_the_end_is_always_told() {
        let mut eta = Eta::default();
        said(&mut eta, 0.0, 10);
        assert_eq!(said(&mut eta, 2.0, 10), "10 of 1000000 positions");
        assert_eq!(said(&mut eta, 2.1, 1_000_000), "1000000 of 1000000 positions");
    }
}

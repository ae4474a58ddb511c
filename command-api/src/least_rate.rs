//! The rate at which a client must send a body, or take one. Only time in which the service waits for the client counts.

use std::time::Duration;

/// A rate that must be reached in each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastRate {
    pub bytes_per_second: u64,
    /// Time that the service waits for the client before it looks at the rate.
    pub window: Duration,
}

/// What a client has done in the present window, which begins when the service first waits for it.
#[derive(Debug)]
pub(crate) struct Progress {
    least: LeastRate,
    waited: Duration,
    bytes: u64,
}

impl LeastRate {
    fn bytes_of_window(self) -> f64 {
        self.bytes_per_second as f64 * self.window.as_secs_f64()
    }
}

impl Progress {
    pub(crate) fn new(least: LeastRate) -> Self {
        Self { least, waited: Duration::ZERO, bytes: 0 }
    }

    /// How long the service still waits before it looks at the rate.
    pub(crate) fn patience(&self) -> Duration {
        self.least.window.saturating_sub(self.waited)
    }

    /// Bytes came or went.
    pub(crate) fn moved(&mut self, bytes: usize) {
        if !self.waited.is_zero() {
            self.bytes += bytes as u64;
        }
    }

    /// The service has waited for the client.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Whether the window is over and the client was too slow in it. If it wasn't, the next one begins.
    pub(crate) fn is_too_slow(&mut self) -> bool {
        if !self.patience().is_zero() {
            return false;
        }
        let is_slow = (self.bytes as f64) < self.least.bytes_of_window();
        if !is_slow {
            *self = Self::new(self.least);
        }
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn progress() -> Progress {
        Progress::new(LeastRate { bytes_per_second: 10, window: 4 * SECOND })
    }

    /// Whether a client is ended within a minute that sends this number of bytes after each second of waiting.
    fn is_ended(bytes: usize) -> bool {
        let mut progress = progress();
        (0..60).any(|_| {
            progress.waited(SECOND);
            progress.moved(bytes);
            progress.is_too_slow()
        })
    }

    #[test]
    fn a_client_is_ended_below_the_rate_alone() {
        assert_eq!([0, 1, 9, 10, 11, 1_000].map(is_ended), [true, true, true, false, false, false]);
    }

    #[test]
    fn what_needed_no_waiting_is_no_credit() {
        let mut progress = progress();
        progress.moved(1_000_000);
        assert_eq!(progress.patience(), 4 * SECOND);
        progress.waited(3 * SECOND);
        assert!(!progress.is_too_slow() && progress.patience() == SECOND);
        progress.waited(SECOND);
        assert!(progress.is_too_slow());
    }

    #[test]
    fn each_window_counts_for_itself() {
        let mut progress = progress();
        progress.waited(SECOND);
        progress.moved(1_000);
        progress.waited(3 * SECOND);
        assert!(!progress.is_too_slow());
        progress.waited(4 * SECOND);
        assert!(progress.is_too_slow(), "what was sent before is no credit");
    }
}

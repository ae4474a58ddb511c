//! Pauses between tries: doubled up to a bound, and spread, so that many tenants don't come at the same moment. Tries have no end.

use std::time::Duration;

use tokio::time::Instant;

/// First pause.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause. A network server that comes back is noticed this much later at most.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A pause is shortened by up to this part.
const SPREAD: f64 = 0.25;

/// The pause after `failures` in a row. `random` is from 0 to 1.
fn after(failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    longest.mul_f64(1.0 - SPREAD * random.clamp(0.0, 1.0))
}

/// Failures in a row of one thing, and until when it is left alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Left alone for this long, without a failure.
    pub(crate) fn resting(pause: Duration) -> Self {
        Self { failures: 0, not_before: Some(Instant::now() + pause) }
    }

    /// Counts a failure, and says how many there were in a row.
    pub(crate) fn fail(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + after(self.failures, rand::random()));
        self.failures
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn rests(&self) -> bool {
        self.not_before.is_some_and(|time| Instant::now() < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_outage_costs_few_tries_and_the_end_is_noticed_within_a_minute() {
        for random in [0.0, 0.5, 1.0] {
            let (mut elapsed, mut tries) = (Duration::ZERO, 0);
            while elapsed < Duration::from_secs(3_600) {
                tries += 1;
                elapsed += after(tries, random);
            }
            assert!((60..=90).contains(&tries), "{tries} tries");
            assert!(elapsed < Duration::from_secs(3_600) + PAUSE_MAX);
        }
        assert!(after(u32::MAX, 0.0) == PAUSE_MAX, "it never gives up");
    }
}

//! State of each process manager: when its last run succeeded, and errors since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Written by the process managers, read by health. Clones share it.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<BTreeMap<&'static str, Beat>>>);

#[derive(Debug, Clone, Default)]
struct Beat {
    /// When the current run began.
    began: Option<Instant>,
    succeeded: Option<Instant>,
    failures: u32,
    error: Option<String>,
}

/// State of one process manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulseOf {
    pub name: &'static str,
    /// Time since its last success; none before the first.
    pub succeeded: Option<Duration>,
    /// Duration of the current run so far.
    pub at_work: Option<Duration>,
    /// Failed runs since the last success, and the last error.
    pub failures: u32,
    pub error: Option<String>,
}

impl Pulse {
    pub(crate) fn begins(&self, name: &'static str) {
        self.beats().entry(name).or_default().began = Some(Instant::now());
    }

    pub(crate) fn ended(&self, name: &'static str, error: Option<String>) {
        let mut beats = self.beats();
        let beat = beats.entry(name).or_default();
        beat.began = None;
        match error {
            Some(error) => (beat.failures, beat.error) = (beat.failures.saturating_add(1), Some(error)),
            None => *beat = Beat { succeeded: Some(Instant::now()), ..Beat::default() },
        }
    }

    /// The state of all process managers that have begun.
    pub fn status(&self) -> Vec<PulseOf> {
        let of = |(name, beat): (&&'static str, &Beat)| PulseOf {
            name,
            succeeded: beat.succeeded.map(|at| at.elapsed()),
            at_work: beat.began.map(|at| at.elapsed()),
            failures: beat.failures,
            error: beat.error.clone(),
        };
        self.beats().iter().map(of).collect()
    }

    fn beats(&self) -> MutexGuard<'_, BTreeMap<&'static str, Beat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_until_the_next_success() {
        let pulse = Pulse::default();
        let end = |error: Option<&str>| {
            pulse.begins("rollout");
            pulse.ended("rollout", error.map(str::to_owned));
            pulse.status().remove(0)
        };
        assert!(end(None).succeeded.is_some());
        end(Some("the log is away"));
        let failed = end(Some("PostgreSQL is away"));
        assert_eq!((failed.failures, failed.error.as_deref()), (2, Some("PostgreSQL is away")));
        assert!(failed.succeeded.is_some() && failed.at_work.is_none());
        assert_eq!(end(None).failures, 0);
    }
}

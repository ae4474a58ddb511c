//! Reports when clocks stand still because the watermark of devices lags: one log line at the start and one at the end, and a gauge.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use projections::watermark::Watermark;

/// A longer lag is logged, and no silence is judged.
const LAG_MAX: TimeDelta = TimeDelta::minutes(1);
const GAUGE: &str = "waybill_hearing_lag_seconds";

/// Whether the watermark lags so far that silence of devices proves nothing.
pub(crate) fn is_stale(watermark: &Watermark, now: DateTime<Utc>) -> bool {
    match watermark {
        Watermark::Absent => false,
        Watermark::Unknown => true,
        Watermark::Until { until, .. } => now - *until > LAG_MAX,
    }
}

/// How far the watermark lags the clock.
#[derive(Default)]
pub(crate) struct Lag(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Time of this process's first run: a missing watermark counts as this old.
    first_look: Option<DateTime<Utc>>,
    warned: bool,
}

/// A change that is logged.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Begins,
    Ends,
}

impl Lag {
    /// Applies the current watermark.
    pub(crate) fn note(&self, watermark: &Watermark, now: DateTime<Utc>) {
        let (lag, change) = self.0.lock().unwrap_or_else(PoisonError::into_inner).look(watermark, now);
        let lag_s = lag.num_seconds();
        metrics::gauge!(GAUGE).set(lag_s as f64);
        match change {
            Some(Change::Begins) => tracing::warn!(
                lag_s,
                "Clocks of updates stand still: messages of devices are not processed. Is a bridge running?"
            ),
            Some(Change::Ends) => {
                tracing::info!(lag_s, "Clocks of updates run again: messages of devices are processed.")
            }
            None => {}
        }
    }
}

impl State {
    fn look(&mut self, watermark: &Watermark, now: DateTime<Utc>) -> (TimeDelta, Option<Change>) {
        let first_look = *self.first_look.get_or_insert(now);
        let heard = match watermark {
            Watermark::Absent => now,
            Watermark::Unknown => first_look,
            Watermark::Until { until, .. } => *until,
        };
        let lag = (now - heard).max(TimeDelta::zero());
        let warned = std::mem::replace(&mut self.warned, lag > LAG_MAX);
        let change = match (warned, self.warned) {
            (false, true) => Some(Change::Begins),
            (true, false) => Some(Change::Ends),
            _ => None,
        };
        (lag, change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn heard(second: i64) -> Watermark {
        Watermark::Until { until: at(second), since: at(0) }
    }

    #[test]
    fn a_lag_is_said_once_and_its_end_too() {
        let mut state = State::default();
        assert_eq!(state.look(&heard(0), at(50)), (TimeDelta::seconds(50), None));
        assert_eq!(state.look(&heard(0), at(61)), (TimeDelta::seconds(61), Some(Change::Begins)));
        assert_eq!(state.look(&heard(1), at(63)), (TimeDelta::seconds(62), None));
        assert_eq!(state.look(&heard(64), at(64)), (TimeDelta::zero(), Some(Change::Ends)));
        assert_eq!(
            state.look(&heard(70), at(65)),
            (TimeDelta::zero(), None),
            "a clock that is slower than the bridge's"
        );
    }

    #[test]
    fn nothing_is_concluded_from_silence_that_nobody_listened_to() {
        assert!(!is_stale(&heard(0), at(60)) && is_stale(&heard(0), at(61)));
        assert!(is_stale(&Watermark::Unknown, at(0)) && !is_stale(&Watermark::Absent, at(0)));
    }

    #[test]
    fn a_bridge_that_was_never_there_lags_since_the_first_look() {
        let mut state = State::default();
        assert_eq!(state.look(&Watermark::Unknown, at(100)), (TimeDelta::zero(), None));
        assert_eq!(state.look(&Watermark::Unknown, at(161)).1, Some(Change::Begins));
        assert_eq!(state.look(&Watermark::Absent, at(162)).1, Some(Change::Ends), "no watermark is needed");
    }
}

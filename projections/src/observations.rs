//! What a projector has seen happen, for the metrics of its process. It is counted after the transaction that applies it.
//!
//! Only what happened lately counts: a projector that begins with an old log would otherwise show years as one moment. A rebuild counts nothing.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::Outcome;

/// How old an event may be when it is counted.
const AGE_MAX: TimeDelta = TimeDelta::hours(1);

/// Something that happened to an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    /// `kind`: `update` or `rollback`.
    Requested {
        kind: &'static str,
    },
    Retried {
        kind: &'static str,
    },
    Ended {
        kind: &'static str,
        outcome: Outcome,
    },
    Regressed,
    /// It left a phase after this time, or the phase was repeated.
    Left {
        phase: &'static str,
        after: Duration,
    },
    /// It was confirmed this long after the device first answered.
    Confirmed {
        after: Duration,
    },
}

/// What was seen and is not counted yet.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    seen: Vec<(DateTime<Utc>, Seen)>,
}

impl Observations {
    pub(crate) fn add(&mut self, at: DateTime<Utc>, seen: Seen) {
        self.seen.push((at, seen));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.seen.append(&mut other.seen);
    }

    pub(crate) fn discard(&mut self) {
        self.seen.clear();
    }

    /// Counts what was seen.
    pub(crate) fn count(&mut self, now: DateTime<Utc>) {
        for (at, seen) in self.seen.drain(..) {
            if now - at <= AGE_MAX {
                count(seen);
            }
        }
    }
}

fn count(seen: Seen) {
    match seen {
        Seen::Requested { kind } => metrics::counter!("waybill_updates_requested_total", "kind" => kind).increment(1),
        Seen::Retried { kind } => metrics::counter!("waybill_update_retries_total", "kind" => kind).increment(1),
        Seen::Ended { kind, outcome } => {
            metrics::counter!("waybill_updates_ended_total", "kind" => kind, "outcome" => outcome.word()).increment(1);
        }
        Seen::Regressed => metrics::counter!("waybill_updates_regressed_total").increment(1),
        Seen::Left { phase, after } => {
            metrics::histogram!("waybill_update_phase_seconds", "phase" => phase).record(after);
        }
        Seen::Confirmed { after } => metrics::histogram!("waybill_update_seconds").record(after),
    }
}

//! Where an update counts: by its phase, and what it has been through.

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{Phase, UpdateKind};

/// Phase of a confirmed update whose device has fallen back, as operators see it.
pub(super) const REGRESSED: &str = "regressed";

/// What sums know of an update.
pub(crate) struct UpdateStanding {
    pub(crate) kind: UpdateKind,
    pub(crate) phase: Phase,
    pub(crate) phase_since: DateTime<Utc>,
    pub(crate) attempt: u16,
    pub(crate) is_regressed: bool,
    /// From the device's first answer to its end, without the time in which it could not go on; none before.
    pub(crate) worked: Option<TimeDelta>,
}

impl UpdateStanding {
    /// Attempts beyond the first.
    pub(super) fn more_attempts_than(&self, before: &Self) -> u16 {
        self.attempt.saturating_sub(before.attempt.max(1))
    }

    pub(super) fn phase_word(&self) -> &'static str {
        if self.is_regressed { REGRESSED } else { self.phase.word() }
    }

    pub(super) fn kind_word(&self) -> &'static str {
        match self.kind {
            UpdateKind::Update => "update",
            UpdateKind::Rollback => "rollback",
        }
    }
}

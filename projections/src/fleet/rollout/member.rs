//! What one event of a device changes in its campaign's member. Pure.

use chrono::{DateTime, Utc};
use domain::device::{DeviceEvent as E, Outcome, Phase};

use super::rows::MemberRow;

impl MemberRow {
    pub(super) fn is_ended(&self) -> bool {
        self.outcome.is_some()
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.outcome == Some(Outcome::Superseded)
    }

    /// Applies an event of its update.
    pub(super) fn apply(&mut self, event: &E, at: DateTime<Utc>) {
        self.apply_phase(event, at);
        if let Some(code) = event.failure_code() {
            self.code = Some(code);
        }
        self.gate_failed |= event.is_gate_failure();
        if matches!(event, E::VersionRegressed { .. }) {
            self.regressed_at = Some(at);
        }
        self.follow_slot(event, self.is_ended());
    }

    /// Follows the slot through an event of the update that may hold it.
    pub(super) fn follow_slot(&mut self, event: &E, has_ended: bool) {
        let is_unanswered = self.holds_slot && !self.grant_seen;
        // A queued or cancelled update keeps the slot that it has.
        let keeps =
            matches!(event, E::UpdateQueued { .. } | E::UpdateCancelling { .. } | E::UpdateCancelRefused { .. });
        if let Some(phase) = event.phase().filter(|_| !keeps) {
            self.holds_slot = matches!(phase, Phase::Dispatched | Phase::Activating) || phase.is_working();
        }
        if has_ended {
            // A slot that was granted afterwards is for the rollback: later reports on the ended update don't answer it.
            self.grant_seen |= event.phase().is_some();
        } else if is_unanswered {
            // The grant isn't answered yet: the device may still begin with it, also after other reports.
            self.grant_seen = event.grant().is_some_and(|number| number >= self.grant_number);
            self.holds_slot |= !self.grant_seen;
        }
    }

    fn apply_phase(&mut self, event: &E, at: DateTime<Utc>) {
        let Some(phase) = event.phase() else { return };
        match event {
            // It superseded the update before it.
            E::UpdateQueued { .. } => (self.outcome, self.ended_at, self.reached) = (None, None, false),
            E::UpdateAccepted { .. } => self.reached = true,
            _ => {}
        }
        self.staged = phase == Phase::Staged;
        if let Phase::Ended(outcome) = phase {
            (self.outcome, self.ended_at) = (Some(outcome), Some(at));
            if outcome == Outcome::Confirmed {
                (self.confirmed_ever, self.failure_accepted) = (true, false);
            }
        }
    }
}

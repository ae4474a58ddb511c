//! Members whose campaign is rolled back: which of them go back, and what the events of their rollback change.

use domain::device::{DeviceEvent as E, Outcome, Phase, UpdateKind};

use super::rows::MemberRow;

impl MemberRow {
    /// Whether it is to go back in this round: it runs the campaign's version because of it, also if that was proven late.
    pub(super) fn goes_back(&self, round: u16) -> bool {
        let confirmed = self.outcome == Some(Outcome::Confirmed) && self.regressed_at.is_none();
        (confirmed || self.late_confirmed)
            && self.rollback_round != Some(round)
            && self.rollback_outcome != Some(Outcome::Confirmed)
    }

    /// Whether a slot that it gets is for its rollback: it is to go back, or its rollback waits.
    pub(super) fn gets_slot_for_rollback(&self, round: u16) -> bool {
        let waits = self.rollback_round == Some(round) && self.rollback_outcome.is_none();
        self.goes_back(round) || waits
    }

    /// Whether an event belongs to its rollback. None: to an earlier one, which is replaced.
    pub(super) fn is_of_rollback(&self, event: &E, ordinal: u32) -> Option<bool> {
        match event {
            E::UpdateQueued { spec, .. } => Some(spec.kind == UpdateKind::Rollback),
            _ if self.rollback_ordinal == Some(ordinal) => Some(true),
            _ => (self.rollback_ordinal.is_none() || self.ordinal == Some(ordinal)).then_some(false),
        }
    }

    /// Applies an event of its rollback.
    pub(super) fn apply_rollback(&mut self, event: &E, ordinal: u32) {
        if let E::UpdateQueued { spec, .. } = event {
            (self.rollback_ordinal, self.rollback_outcome, self.rollback_accepted) = (Some(ordinal), None, false);
            (self.rollback_round, self.rollback_code) = (spec.campaign.map(|campaign| campaign.round), None);
        }
        if let Some(code) = event.failure_code() {
            self.rollback_code = Some(code);
        }
        if let Some(Phase::Ended(outcome)) = event.phase() {
            self.rollback_outcome = Some(outcome);
            // It no longer runs what its update brought.
            self.late_confirmed &= outcome != Outcome::Confirmed;
        }
        // It fell back to the version that was to be left.
        if matches!(event, E::VersionRegressed { .. }) {
            self.rollback_outcome = Some(Outcome::Failed);
        }
        self.follow_slot(event, self.rollback_outcome.is_some());
    }
}

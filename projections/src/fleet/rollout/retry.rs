//! Members that are to be retried. Until a member has a new update, its former outcome is kept aside. It is restored if there is never a
//! new update.

use domain::device::Outcome;

use super::rows::{MemberRow, PastOutcome};

impl MemberRow {
    /// As before its update was queued; what gates counted stays.
    pub(super) fn reset_for_retry(&mut self) {
        self.before_retry = Some(PastOutcome {
            outcome: self.outcome.take(),
            code: self.code.take(),
            reached: std::mem::take(&mut self.reached),
            ended_at: self.ended_at.take(),
            regressed_at: self.regressed_at.take(),
            late_confirmed: std::mem::take(&mut self.late_confirmed),
            failure_accepted: std::mem::take(&mut self.failure_accepted),
            retry_of: std::mem::replace(&mut self.retry_of, self.ordinal),
        });
        self.holds_slot = false;
    }

    /// There is no retry: the member gets its former outcome back.
    pub(super) fn restore_outcome(&mut self) {
        let Some(past) = self.before_retry.take() else { return };
        (self.outcome, self.code, self.reached) = (past.outcome, past.code, past.reached);
        (self.ended_at, self.regressed_at) = (past.ended_at, past.regressed_at);
        (self.late_confirmed, self.failure_accepted) = (past.late_confirmed, past.failure_accepted);
        self.retry_of = past.retry_of;
    }

    /// A failure of its next attempt isn't counted again. For a member that waits for its retry, only its former outcome can be accepted. For
    /// a member whose retry has begun, only what its new update did can be accepted: the retry has cleared the code.
    pub(super) fn accept_failure(&mut self) {
        self.rollback_accepted |= self.rollback_outcome.is_some();
        if !self.gate_failed {
            return;
        }
        self.gate_accepted = true;
        let is_failed = self.outcome != Some(Outcome::Confirmed) || self.regressed_at.is_some();
        self.failure_accepted = self.before_retry.is_none() && self.code.is_some() && is_failed;
        if let Some(past) = &mut self.before_retry {
            past.failure_accepted = true;
        }
    }

    /// Its failures while staging don't count for the activation.
    pub(super) fn begin_activation(&mut self) {
        if self.is_ended() {
            return self.accept_failure();
        }
        (self.gate_failed, self.gate_accepted, self.failure_accepted, self.code) = (false, false, false, None);
        if let Some(past) = &mut self.before_retry {
            past.failure_accepted = true;
        }
    }

    /// Applies whether the device runs the version of its ended update.
    pub(super) fn record_late_confirmation(&mut self, ordinal: u32, runs: bool) {
        // Its rollback had ended without it.
        if self.rollback_ordinal == Some(ordinal) && runs && self.rollback_outcome.is_some() {
            self.rollback_outcome = Some(Outcome::Confirmed);
        }
        if self.ordinal != Some(ordinal) {
            return;
        }
        // A device that runs the version before its turn needs no new update. A slot that is already granted is answered by the device.
        if self.before_retry.is_some() && runs && !self.holds_slot {
            self.restore_outcome();
        }
        let proven = self.outcome == Some(Outcome::Confirmed) && self.regressed_at.is_none();
        if self.before_retry.is_none() && !proven {
            self.late_confirmed = runs;
        }
    }
}

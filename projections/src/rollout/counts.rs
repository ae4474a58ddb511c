//! What one member contributes to the counts of its wave.

use event_store::RecordRef;

use super::rows::{MemberRow, ProgressRow};

/// Contributions that gates and the campaign's end rest on: all but slots and devices at work.
const SETTLING: [usize; 8] = [0, 1, 2, 3, 4, 7, 8, 9];
/// Failures, of an update or of one of its attempts.
const FAILING: [usize; 2] = [2, 3];

impl MemberRow {
    /// Ended, or confirmed and since fallen back.
    fn is_failed(&self) -> bool {
        self.regressed_at.is_some() || matches!(self.phase.as_str(), "failed" | "timed_out" | "rejected")
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    fn contribution(&self) -> [i64; 11] {
        let resting = matches!(self.phase.as_str(), "deferred" | "staged");
        [
            self.reached_at.is_some(),
            self.phase == "confirmed" && self.regressed_at.is_none(),
            self.is_failed(),
            self.gate_failed,
            self.gate_failed || self.confirmed_ever,
            self.holds_slot,
            self.phase == "cancelling" || (self.reached_at.is_some() && !self.is_ended() && !resting),
            self.phase == "expired",
            self.phase == "cancelled",
            self.phase == "superseded",
            self.is_failed() && self.failure_accepted,
        ]
        .map(i64::from)
    }
}

impl ProgressRow {
    /// Keeps which record changed what gates and the campaign's end rest on.
    pub(crate) fn changed_by(&mut self, record: RecordRef, before: &MemberRow, after: &MemberRow) {
        let (before, after) = (before.contribution(), after.contribution());
        if SETTLING.into_iter().any(|index| before[index] != after[index]) {
            self.last_outcome = Some(record);
        }
        if FAILING.into_iter().any(|index| before[index] < after[index]) {
            self.last_failure = Some(record);
        }
    }

    /// Those with an outcome, as [`domain::rollout::Counts::ended`] counts them.
    pub fn ended(&self) -> i64 {
        self.confirmed + self.failed + self.expired + self.cancelled + self.superseded
    }

    /// Takes a member's change into the counts.
    pub(crate) fn change(&mut self, before: &MemberRow, after: &MemberRow) {
        let (before, after) = (before.contribution(), after.contribution());
        let counters = [
            &mut self.reached,
            &mut self.confirmed,
            &mut self.failed,
            &mut self.gate_failed,
            &mut self.gate_settled,
            &mut self.in_use,
            &mut self.working,
            &mut self.expired,
            &mut self.cancelled,
            &mut self.superseded,
            &mut self.accepted_ended,
        ];
        for ((counter, before), after) in counters.into_iter().zip(before).zip(after) {
            *counter += after - before;
        }
    }
}

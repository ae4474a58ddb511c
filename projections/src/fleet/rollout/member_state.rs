//! A member with its present update: replies and counts follow from the two.

use domain::device::{Outcome, Phase};
use domain::rollout::Counts;

use super::rows::MemberRow;
use crate::fleet::statistics::failures::Failure;
use crate::fleet::updates::UpdateRow;
use crate::row::storable_text;
use crate::table::Rows;

/// Phase of a member whose update doesn't exist yet.
pub(super) const PLANNED: &str = "planned";
/// Phase of members that get no update.
pub(super) const EXCLUDED: &str = "excluded";
/// Phase of a confirmed member that lost its version again.
pub(super) const REGRESSED: &str = "regressed";
/// Phases of members whose campaign is rolled back.
pub const ROLLING_BACK: &str = "rolling_back";
pub const ROLLED_BACK: &str = "rolled_back";
pub const ROLLBACK_FAILED: &str = "rollback_failed";
/// Outcomes that count as failed.
pub(super) const FAILED: [Outcome; 3] = [Outcome::Failed, Outcome::TimedOut, Outcome::Rejected];

/// A member, and its update if it has one.
pub(super) struct MemberState<'a> {
    member: &'a MemberRow,
    update: Option<&'a UpdateRow>,
    /// How the campaign ended members that never had their turn.
    planned_outcome: Option<Outcome>,
}

/// What a member contributes to the counts of its wave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contribution {
    /// 1 for each count that it is part of.
    pub(super) counts: Counts,
    pub(super) late_confirmed: bool,
    pub(super) retryable: bool,
    pub(super) retries: i64,
    pub(super) confirmed_ms: i64,
    /// None for an excluded member.
    pub(super) phase: Option<&'static str>,
    /// It would end with its campaign.
    pub(super) planned: bool,
    /// Of a member that counts as failed.
    pub(super) failure: Option<Failure>,
}

impl<'a> MemberState<'a> {
    /// `update`: the one that the member stands by, if any.
    pub(super) fn new(member: &'a MemberRow, update: Option<&'a UpdateRow>, planned_outcome: Option<Outcome>) -> Self {
        Self { member, update, planned_outcome }
    }

    /// Finds the update of the member.
    pub(super) fn find(member: &'a MemberRow, updates: &'a Rows<UpdateRow>, planned_outcome: Option<Outcome>) -> Self {
        Self::new(member, member.update_key().and_then(|key| updates.get(&key)), planned_outcome)
    }

    /// How its update ended, or its campaign before its turn.
    fn outcome(&self) -> Option<Outcome> {
        self.member.outcome.or(self.planned_outcome.filter(|_| self.member.is_planned()))
    }

    fn phase(&self) -> Option<Phase> {
        self.update.map(|update| update.timed.phase())
    }

    /// Ended without success, or confirmed and then fallen back.
    fn is_failed(&self) -> bool {
        self.member.regressed_at.is_some() || self.outcome().is_some_and(|outcome| FAILED.contains(&outcome))
    }

    fn is_confirmed(&self) -> bool {
        self.member.outcome == Some(Outcome::Confirmed) && self.member.regressed_at.is_none()
    }

    fn is_working(&self) -> bool {
        let member = self.member;
        let rests = matches!(self.phase(), Some(Phase::Deferred | Phase::Staged));
        self.phase() == Some(Phase::Cancelling) || (member.reached && member.outcome.is_none() && !rests)
    }

    /// A retry resets it: failed, expired or fallen back, and not confirmed late.
    fn is_retryable(&self) -> bool {
        (self.is_failed() || self.outcome() == Some(Outcome::Expired)) && !self.member.late_confirmed
    }

    /// The phase of its update; without one `planned`, or how its campaign ended it.
    pub(super) fn update_phase(&self) -> &'static str {
        let outcome = || self.outcome().map(Outcome::word);
        self.phase().map(Phase::word).or_else(outcome).unwrap_or(PLANNED)
    }

    /// The phase in replies and counts.
    pub(super) fn displayed_phase(&self) -> &'static str {
        match (self.rollback_phase(), self.member.regressed_at) {
            _ if self.member.excluded.is_some() => EXCLUDED,
            (Some(phase), _) => phase,
            (None, Some(_)) => REGRESSED,
            (None, None) => self.update_phase(),
        }
    }

    /// None if it still runs, or never ran, what its update brought: also after a rollback that ended without a try.
    fn rollback_phase(&self) -> Option<&'static str> {
        match (self.member.rollback_ordinal, self.member.rollback_outcome) {
            (None, _) => None,
            (Some(_), None) => Some(ROLLING_BACK),
            (Some(_), Some(Outcome::Confirmed)) => Some(ROLLED_BACK),
            (Some(_), Some(outcome)) => FAILED.contains(&outcome).then_some(ROLLBACK_FAILED),
        }
    }

    fn confirmed_ms(&self) -> i64 {
        let worked = self.update.and_then(|update| {
            let timed = &update.timed;
            Some(timed.ended_at? - timed.reached_at? - timed.idle())
        });
        worked.filter(|_| self.is_confirmed()).map_or(0, |worked| worked.num_milliseconds().max(0))
    }

    /// What it has in common with other failed members.
    fn failure(&self) -> Failure {
        let member = self.member;
        let queued_from = self.update.map(|update| update.from_version.as_ref());
        let text = |text: Option<&String>| text.map(|text| storable_text(text)).unwrap_or_default();
        Failure {
            code: member.code.as_deref().map_or_else(|| "unknown".to_owned(), storable_text),
            hardware_version: text(member.failed_hardware.as_ref()),
            from_version: text(queued_from.unwrap_or(member.from_version.as_ref())),
        }
    }

    pub(super) fn contribution(&self) -> Contribution {
        let member = self.member;
        let ended = |outcome| u32::from(self.outcome() == Some(outcome));
        let attempt = self.update.map_or(0, |update| update.timed.state.attempt);
        let counts = Counts {
            reached: member.reached.into(),
            confirmed: self.is_confirmed().into(),
            failed: self.is_failed().into(),
            gate_failed: member.gate_failed.into(),
            gate_settled: (member.gate_failed || member.confirmed_ever).into(),
            in_use: member.holds_slot.into(),
            lorawan_in_use: (member.holds_slot && member.lorawan).into(),
            staged: member.staged.into(),
            staged_failed: (member.staged && member.gate_failed).into(),
            working: self.is_working().into(),
            expired: ended(Outcome::Expired),
            cancelled: ended(Outcome::Cancelled),
            superseded: ended(Outcome::Superseded),
            rolled_back: (self.rollback_phase() == Some(ROLLED_BACK)).into(),
            rollback_failed: (self.rollback_phase() == Some(ROLLBACK_FAILED)).into(),
            rolling_back: (self.rollback_phase() == Some(ROLLING_BACK)).into(),
            accepted_ended: (self.is_failed() && member.failure_accepted).into(),
            // Counted with the wave, not with each member.
            ..Counts::default()
        };
        Contribution {
            counts,
            late_confirmed: member.late_confirmed,
            retryable: self.is_retryable(),
            retries: i64::from(attempt.saturating_sub(1)),
            confirmed_ms: self.confirmed_ms(),
            phase: member.excluded.is_none().then(|| self.displayed_phase()),
            planned: member.is_planned(),
            failure: self.is_failed().then(|| self.failure()),
        }
    }
}

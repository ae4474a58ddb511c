//! Conditions over `rollout_members m` that stay in SQL, because a campaign may have a million members. Each says what a function of Rust says,
//! too; in the random histories the counts, which Rust makes, are compared with the lists, which SQL makes.

use domain::device::Outcome;

use super::member_state::FAILED;

/// Waits for its turn: [`super::rows::MemberRow::is_planned`].
pub(super) const PLANNED: &str = "(m.outcome IS NULL AND m.excluded IS NULL AND NOT m.holds_slot
    AND (m.ordinal IS NULL OR m.before_retry IS NOT NULL))";
/// Has a slot and no update yet: the device hasn't answered.
pub(super) const SLOT_UNANSWERED: &str = "(m.outcome IS NULL AND m.excluded IS NULL AND m.holds_slot
    AND (m.ordinal IS NULL OR m.before_retry IS NOT NULL))";
/// To be retried, with neither a new update nor a slot yet.
pub(super) const NOT_BEGUN_AGAIN: &str = "(m.before_retry IS NOT NULL AND NOT m.holds_slot)";
/// Counted by the failure gate.
pub(super) const COUNTED_BY_GATE: &str = "(m.gate_failed AND NOT m.gate_accepted)";

/// Failed or fallen back, and counted by the success gate. That gate counts the same outcomes as failed.
pub(super) fn ended_in_failure() -> String {
    let failed = has_outcome(&FAILED);
    format!("(m.gate_failed AND NOT m.failure_accepted AND (m.regressed_at IS NOT NULL OR {failed}))")
}

/// Reset by a retry: failed, expired or fallen back, and not confirmed late. Counted as `retryable`.
pub(super) fn retried() -> String {
    let ended = has_outcome(&[&FAILED[..], &[Outcome::Expired]].concat());
    format!("(({ended} OR m.regressed_at IS NOT NULL) AND NOT m.late_confirmed)")
}

/// Has yet to go back in a round: [`super::rows::MemberRow::goes_back`]. `round` is a parameter of the query.
pub(super) fn goes_back(round: &str) -> String {
    format!(
        "(((m.outcome = 'confirmed' AND m.regressed_at IS NULL) OR (m.outcome IS NOT NULL AND m.late_confirmed))
          AND m.rollback_round IS DISTINCT FROM {round} AND m.rollback_outcome IS DISTINCT FROM 'confirmed')"
    )
}

/// Its rollback failed.
pub(super) fn rollback_failed() -> String {
    outcome_in("m.rollback_outcome", &FAILED)
}

/// Its rollback says where it stands: [`super::member_state::MemberState::displayed_phase`].
pub(super) fn shows_rollback() -> String {
    let ended = outcome_in("m.rollback_outcome", &[&FAILED[..], &[Outcome::Confirmed]].concat());
    format!("(m.rollback_ordinal IS NOT NULL AND (m.rollback_outcome IS NULL OR {ended}))")
}

/// Never null.
fn has_outcome(outcomes: &[Outcome]) -> String {
    outcome_in("m.outcome", outcomes)
}

fn outcome_in(column: &str, outcomes: &[Outcome]) -> String {
    let words: Vec<String> = outcomes.iter().map(|outcome| format!("'{}'", outcome.word())).collect();
    format!("coalesce({column} IN ({}), false)", words.join(", "))
}

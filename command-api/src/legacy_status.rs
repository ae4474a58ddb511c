//! The three status names of every update: `phase` is Waybill's, `status` and `workflow_status` are those of the older systems that clients
//! used.
//!
//! All are in one table. In filters an old name means all its phases.

use serde::Serialize;
use utoipa::ToSchema;

/// Phase, old status, old workflow status.
const TABLE: [(&str, &str, &str); 20] = [
    ("queued", "created", "QUEUED"),
    ("waiting", "scheduled", "QUEUED"),
    ("dispatched", "in_progress", "PREPARING"),
    ("accepted", "in_progress", "PREPARING"),
    ("deferred", "in_progress", "PREPARING"),
    ("downloading", "downloading", "DOWNLOADING"),
    ("verifying", "verifying", "APPLYING"),
    ("installing", "installing", "APPLYING"),
    ("staged", "installing", "APPLYING"),
    ("activating", "installing", "APPLYING"),
    ("rebooting", "rebooting", "APPLYING"),
    ("cancelling", "in_progress", "APPLYING"),
    ("confirmed", "completed", "COMPLETE"),
    ("failed", "failed", "FAILED"),
    ("timed_out", "failed", "FAILED"),
    ("rejected", "failed", "FAILED"),
    ("regressed", "failed", "FAILED"),
    ("cancelled", "cancelled", "CANCELLED"),
    ("expired", "cancelled", "CANCELLED"),
    ("superseded", "cancelled", "CANCELLED"),
];

/// Every phase of Waybill.
pub(crate) fn phases() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(phase, _, _)| *phase)
}

/// The names of an update's phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StatusNames {
    /// Phase of the update; more values may be added.
    #[schema(example = "downloading")]
    pub(crate) phase: String,
    /// The same, as the old OTA service names it.
    #[schema(example = "downloading")]
    pub(crate) status: &'static str,
    /// The same, as the old workflow engine names it.
    #[schema(example = "DOWNLOADING")]
    pub(crate) workflow_status: &'static str,
}

/// The names for an update of a kind in a phase.
pub(crate) fn status_names(phase: &str, kind: &str) -> StatusNames {
    let (status, workflow_status) = match TABLE.iter().find(|(word, _, _)| *word == phase) {
        _ if kind == "rollback" => ("rollback", "ROLLBACK"),
        Some((_, status, workflow_status)) => (*status, *workflow_status),
        None => ("in_progress", "PREPARING"),
    };
    StatusNames { phase: phase.to_owned(), status, workflow_status }
}

/// The phases that a filter's value means: a phase itself, or an old name; none for an unknown value.
pub(crate) fn phases_of(word: &str) -> Option<Vec<&'static str>> {
    let of_old: Vec<&str> = TABLE
        .iter()
        .filter(|(_, status, workflow_status)| *status == word || *workflow_status == word)
        .map(|(phase, _, _)| *phase)
        .collect();
    if !of_old.is_empty() {
        return Some(of_old);
    }
    TABLE.iter().find(|(phase, _, _)| *phase == word).map(|(phase, _, _)| vec![*phase])
}

#[cfg(test)]
mod tests {
    use domain::device::{Outcome, Phase, WaitReason};

    use super::*;

    #[test]
    fn every_phase_has_its_names() {
        use Phase as P;
        let expected = [
            (P::Queued, "created", "QUEUED"),
            (P::Waiting(WaitReason::Offline), "scheduled", "QUEUED"),
            (P::Dispatched, "in_progress", "PREPARING"),
            (P::Accepted, "in_progress", "PREPARING"),
            (P::Deferred, "in_progress", "PREPARING"),
            (P::Downloading, "downloading", "DOWNLOADING"),
            (P::Verifying, "verifying", "APPLYING"),
            (P::Installing, "installing", "APPLYING"),
            (P::Staged, "installing", "APPLYING"),
            (P::Activating, "installing", "APPLYING"),
            (P::Rebooting, "rebooting", "APPLYING"),
            (P::Cancelling, "in_progress", "APPLYING"),
            (P::Ended(Outcome::Confirmed), "completed", "COMPLETE"),
            (P::Ended(Outcome::Failed), "failed", "FAILED"),
            (P::Ended(Outcome::TimedOut), "failed", "FAILED"),
            (P::Ended(Outcome::Rejected), "failed", "FAILED"),
            (P::Ended(Outcome::Expired), "cancelled", "CANCELLED"),
            (P::Ended(Outcome::Superseded), "cancelled", "CANCELLED"),
            (P::Ended(Outcome::Cancelled), "cancelled", "CANCELLED"),
        ];
        for (phase, status, workflow_status) in expected {
            let said = status_names(phase.word(), "update");
            assert_eq!((said.status, said.workflow_status), (status, workflow_status), "{phase:?}");
        }
        assert_eq!(status_names("regressed", "update").status, "failed");
        assert_eq!(status_names("downloading", "rollback").workflow_status, "ROLLBACK");
    }

    #[test]
    fn an_old_name_stands_for_all_its_phases() {
        assert_eq!(phases_of("in_progress"), Some(vec!["dispatched", "accepted", "deferred", "cancelling"]));
        assert_eq!(phases_of("COMPLETE"), Some(vec!["confirmed"]));
        assert_eq!(phases_of("staged"), Some(vec!["staged"]));
        assert_eq!(phases_of("downloading"), Some(vec!["downloading"]));
        assert_eq!(phases_of("nonsense"), None);
    }
}

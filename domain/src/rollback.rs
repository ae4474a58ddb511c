//! Going back: to which version, and what may prevent it.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::rejection::Rejection;
use crate::version::is_same;

/// Why a device can't be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RollbackObstacle {
    /// It is not known what it ran before.
    NoPreviousVersion,
    /// It never ran the wanted version.
    NeverRan,
    /// No firmware of that version was uploaded, or it is deleted.
    FirmwareUnknown,
    FirmwareWithdrawn,
    /// The firmware that it runs doesn't allow it (`rollback_allowed: false`).
    NotAllowed,
    /// An update of the component has begun: what the device runs at its end is not known yet.
    UpdateUnderWay,
    Decommissioned,
}

impl RollbackObstacle {
    /// The refusal of a rollback of one device, with what it concerns.
    pub fn refuses(self, detail: String) -> Rejection {
        Rejection::RollbackImpossible { reason: self.word().to_owned(), detail }
    }
}

/// A change of what a component runs, as far as a rollback looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub from: Option<String>,
    pub to: Option<String>,
    /// The device returned to an earlier version: it fell back, or was rolled back.
    pub is_return: bool,
}

/// The version before the one that runs. `changes`: the oldest first. After a return it is the version before the one returned to, so a second
/// rollback goes further back and never to the version that was left.
pub fn previous_version<'a>(running: &str, changes: &'a [Change]) -> Option<&'a str> {
    let mut trail: Vec<&str> = Vec::new();
    for change in changes {
        let (from, to) = (change.from.as_deref(), change.to.as_deref());
        if let Some(from) = from.filter(|from| trail.last().is_none_or(|last| !is_same(last, from))) {
            trail.push(from);
        }
        let Some(to) = to else { continue };
        let returned_to = trail.iter().rposition(|version| is_same(version, to)).filter(|_| change.is_return);
        match returned_to {
            Some(place) => trail.truncate(place + 1),
            // Another spelling of the same version is no change.
            None if trail.last().is_some_and(|last| is_same(last, to)) => {}
            None => trail.push(to),
        }
    }
    let place = trail.iter().rposition(|version| is_same(version, running))?;
    place.checked_sub(1).map(|before| trail[before])
}

/// Whether a component ran a version at some time.
pub fn ran(version: &str, changes: &[Change]) -> bool {
    changes.iter().flat_map(|change| [&change.from, &change.to]).flatten().any(|ran| is_same(ran, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps from one version to the next; `<` marks a return.
    fn changes(steps: &[&str]) -> Vec<Change> {
        let mut from = None;
        let mut changes = Vec::new();
        for step in steps {
            let to = step.trim_start_matches('<').to_owned();
            changes.push(Change { from: from.replace(to.clone()), to: Some(to), is_return: step.starts_with('<') });
        }
        changes
    }

    fn before(steps: &[&str]) -> Option<String> {
        let changes = changes(steps);
        let running = changes.last()?.to.clone()?;
        previous_version(&running, &changes).map(str::to_owned)
    }

    #[test]
    fn the_previous_version_is_what_ran_before_the_present_one() {
        assert_eq!(before(&["1.0.0", "2.0.0"]).as_deref(), Some("1.0.0"));
        assert_eq!(before(&["1.0.0", "2.0.0", "3.0.0", "2.0.0"]).as_deref(), Some("3.0.0"), "a downgrade is a change");
        assert_eq!(before(&["1.0.0"]), None, "its first version");
        assert_eq!(previous_version("4.0.0", &changes(&["1.0.0", "2.0.0"])), None, "nothing is known of it");
    }

    #[test]
    fn after_a_return_the_version_that_was_left_is_not_the_previous_one() {
        assert_eq!(before(&["1.0.0", "2.0.0", "<1.0.0"]), None, "it fell back, or was rolled back");
        assert_eq!(before(&["0.9.0", "1.0.0", "2.0.0", "<1.0.0"]).as_deref(), Some("0.9.0"));
        assert_eq!(before(&["1.0.0", "2.0.0", "<1.0.0", "3.0.0"]).as_deref(), Some("1.0.0"));
        assert_eq!(before(&["1.0.0", "2.0.0", "3.0.0", "<1.0.0"]), None, "two versions at once");
    }

    #[test]
    fn two_spellings_of_a_version_are_one() {
        assert_eq!(before(&["1.0.0", "2.0.0", "v2.0.0"]).as_deref(), Some("1.0.0"));
        let history = changes(&["v1.0.0", "2.0.0"]);
        assert!(ran("1.0.0", &history) && ran("2.0.0", &history));
        assert!(!ran("3.0.0", &history));
    }
}

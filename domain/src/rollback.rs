//! Going back: to which version, and what may prevent it.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::rejection::Rejection;

/// Why a device can't go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Obstacle {
    /// It is not known what it ran before.
    NoPreviousVersion,
    /// It never ran the wanted version.
    NeverRan,
    /// No firmware of that version was uploaded, or it is deleted.
    FirmwareUnknown,
    FirmwareWithdrawn,
    /// The firmware that it runs doesn't allow it (`rollback_allowed: false`).
    NotAllowed,
}

impl Obstacle {
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
}

/// The version before the one that runs. `changes`: the latest first.
pub fn previous_version<'a>(running: &str, changes: &'a [Change]) -> Option<&'a str> {
    let reached = changes.iter().find(|change| change.to.as_deref() == Some(running));
    reached?.from.as_deref().filter(|from| *from != running)
}

/// Whether a component ran a version at some time.
pub fn ran(version: &str, changes: &[Change]) -> bool {
    changes
        .iter()
        .flat_map(|change| [&change.from, &change.to])
        .flatten()
        .any(|ran| crate::version::is_same(ran, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(steps: &[(&str, &str)]) -> Vec<Change> {
        let text = |version: &str| (!version.is_empty()).then(|| version.to_owned());
        steps.iter().rev().map(|(from, to)| Change { from: text(from), to: text(to) }).collect()
    }

    #[test]
    fn the_previous_version_is_what_ran_before_the_present_one() {
        let history = changes(&[("", "1.0.0"), ("1.0.0", "2.0.0"), ("2.0.0", "3.0.0"), ("3.0.0", "2.0.0")]);
        assert_eq!(previous_version("2.0.0", &history), Some("3.0.0"), "by the latest change");
        assert_eq!(previous_version("3.0.0", &history), Some("2.0.0"));
        assert_eq!(previous_version("1.0.0", &history), None, "its first version");
        assert_eq!(previous_version("4.0.0", &history), None);
    }

    #[test]
    fn a_version_that_ran_is_found_in_any_spelling() {
        let history = changes(&[("", "v1.0.0"), ("v1.0.0", "2.0.0")]);
        assert!(ran("1.0.0", &history) && ran("2.0.0", &history));
        assert!(!ran("3.0.0", &history));
    }
}

//! Decides from statements and components whether a firmware is affected by a vulnerability, a package, or both.

use crate::vex::VexStatus;

/// Whether a vulnerability or package concerns a firmware, from the best to the worst. The worst component of a device counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exposure {
    /// No document says anything.
    Unknown,
    /// A VEX says so, or an SBOM lacks the package.
    NotAffected,
    UnderInvestigation,
    Affected,
}

impl Exposure {
    pub const ALL: [Self; 4] = [Self::Affected, Self::UnderInvestigation, Self::NotAffected, Self::Unknown];

    pub fn word(self) -> &'static str {
        match self {
            Self::Affected => "affected",
            Self::UnderInvestigation => "under_investigation",
            Self::NotAffected => "not_affected",
            Self::Unknown => "unknown",
        }
    }
}

/// What the documents of a firmware say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence {
    /// The worst statement of the latest VEX about the vulnerability. None if no VEX is about it, or if no vulnerability is asked for.
    pub vex: Option<VexStatus>,
    /// Whether the firmware contains the package, in the version that is asked for. None if it has no SBOM, or if no package is asked for.
    pub contains: Option<bool>,
}

/// A VEX goes before an SBOM: its author has analysed the firmware.
pub fn exposure_of(evidence: Evidence) -> Exposure {
    match evidence {
        Evidence { vex: Some(VexStatus::Affected), .. } => Exposure::Affected,
        Evidence { vex: Some(VexStatus::UnderInvestigation), .. } => Exposure::UnderInvestigation,
        Evidence { vex: Some(VexStatus::NotAffected | VexStatus::Fixed), .. } => Exposure::NotAffected,
        Evidence { vex: None, contains: Some(true) } => Exposure::Affected,
        Evidence { vex: None, contains: Some(false) } => Exposure::NotAffected,
        Evidence { vex: None, contains: None } => Exposure::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vex_goes_before_an_sbom() {
        let exposure = |vex, contains| exposure_of(Evidence { vex, contains });
        assert_eq!(exposure(Some(VexStatus::NotAffected), Some(true)), Exposure::NotAffected);
        assert_eq!(exposure(Some(VexStatus::Affected), Some(false)), Exposure::Affected);
        assert_eq!(exposure(None, Some(true)), Exposure::Affected);
        assert_eq!(exposure(None, Some(false)), Exposure::NotAffected);
        assert_eq!(exposure(None, None), Exposure::Unknown);
    }
}

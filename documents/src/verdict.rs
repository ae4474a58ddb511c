//! What statements and components make of a firmware, for one vulnerability, one package, or both.

use crate::vex::VexStatus;

/// Whether a vulnerability or package concerns a firmware. The later one is the worse one for a device that runs several.
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

/// What is known of a firmware.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// The worst of what the latest VEX that speaks of the vulnerability says; none if none does, or no vulnerability is asked for.
    pub vex: Option<VexStatus>,
    /// Whether it contains the package, at the version if one is asked for; none if it has no SBOM, or no package is asked for.
    pub contains: Option<bool>,
}

/// A VEX goes before an SBOM: it was written by somebody who has looked.
pub fn exposure_of(told: Told) -> Exposure {
    match told {
        Told { vex: Some(VexStatus::Affected), .. } => Exposure::Affected,
        Told { vex: Some(VexStatus::UnderInvestigation), .. } => Exposure::UnderInvestigation,
        Told { vex: Some(VexStatus::NotAffected | VexStatus::Fixed), .. } => Exposure::NotAffected,
        Told { vex: None, contains: Some(true) } => Exposure::Affected,
        Told { vex: None, contains: Some(false) } => Exposure::NotAffected,
        Told { vex: None, contains: None } => Exposure::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vex_goes_before_an_sbom() {
        let told = |vex, contains| exposure_of(Told { vex, contains });
        assert_eq!(told(Some(VexStatus::NotAffected), Some(true)), Exposure::NotAffected);
        assert_eq!(told(Some(VexStatus::Affected), Some(false)), Exposure::Affected);
        assert_eq!(told(None, Some(true)), Exposure::Affected);
        assert_eq!(told(None, Some(false)), Exposure::NotAffected);
        assert_eq!(told(None, None), Exposure::Unknown);
    }
}

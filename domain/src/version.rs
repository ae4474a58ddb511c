//! Parses and compares versions as devices report them.
//!
//! A leading `v`, two or four numbers are read leniently. Pre-releases compare by precedence, and a requirement without an operator means
//! exactly that version: the usual library reads `1.9.0` as `^1.9.0`, which would select the wrong devices in a fleet filter.

use std::cmp::Ordering;

use semver::Prerelease;

const NUMBERS_MAX: usize = 4;
/// Most comparators in one requirement.
const COMPARATORS_MAX: usize = 8;

/// A readable version: up to four numbers and a pre-release. Build metadata is not compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    numbers: [u64; NUMBERS_MAX],
    pre: Prerelease,
}

impl FirmwareVersion {
    /// Parses a version; `None` if it can't be compared.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, given) = Self::parse_prefix(text)?;
        (given >= 2).then_some(version)
    }

    fn parse_prefix(text: &str) -> Option<(Self, usize)> {
        let text = text.trim();
        let text = without_v(text);
        let text = text.split_once('+').map_or(text, |(front, _build)| front);
        let (core, pre) = text.split_once('-').map_or((text, ""), |(core, pre)| (core, pre));
        let mut numbers = [0; NUMBERS_MAX];
        let mut given = 0;
        for part in core.split('.') {
            if given == NUMBERS_MAX || part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            numbers[given] = part.parse().ok()?;
            given += 1;
        }
        Some((Self { numbers, pre: Prerelease::new(&without_leading_zeros(pre)).ok()? }, given))
    }
}

/// Numbers of a pre-release may be written with leading zeros.
fn without_leading_zeros(pre: &str) -> String {
    let shortened = pre.split('.').map(|part| match part.trim_start_matches('0') {
        _ if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) => part,
        "" => "0",
        number => number,
    });
    shortened.collect::<Vec<_>>().join(".")
}

/// Whether two texts name the same version.
///
/// A leading `v`, leading zeros, missing parts and surrounding blanks make no difference. Build labels (`+…`) are compared only if both
/// texts have one. Texts that can't be read as versions are compared as they are.
pub fn is_same(left: &str, right: &str) -> bool {
    same_numbers(left, right, |left, right| left.is_none() || right.is_none() || left == right)
}

/// The same, but a build label on one side only is a difference too.
fn is_exactly(left: &str, right: &str) -> bool {
    same_numbers(left, right, |left, right| left == right)
}

fn same_numbers(left: &str, right: &str, same_label: impl Fn(Option<&str>, Option<&str>) -> bool) -> bool {
    let (left, right) = (left.trim(), right.trim());
    match (FirmwareVersion::parse_prefix(left), FirmwareVersion::parse_prefix(right)) {
        (Some((a, _)), Some((b, _))) => a == b && same_label(label(left), label(right)),
        (None, None) => without_v(left) == without_v(right),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The build label: the text after the `+`.
fn label(text: &str) -> Option<&str> {
    text.split_once('+').map(|(_, label)| label).filter(|label| !label.is_empty())
}

/// The version that a device reports when it runs a certain firmware.
#[derive(Debug, Clone, Copy)]
pub struct TargetVersion<'a> {
    /// The firmware's version.
    pub version: &'a str,
    /// The version that its devices report, if the firmware declares it.
    pub reported_version: Option<&'a str>,
}

impl TargetVersion<'_> {
    /// Whether a device that reports this version runs the firmware. A declared version must match with its label.
    pub fn is_met_by(self, reported: &str) -> bool {
        match self.reported_version {
            Some(declared) => is_exactly(declared, reported),
            None => is_same(self.version, reported),
        }
    }
}

pub(crate) fn without_v(text: &str) -> &str {
    text.strip_prefix(['v', 'V']).unwrap_or(text)
}

/// The order of two version texts; `None` when either can't be read.
pub fn compare(left: &str, right: &str) -> Option<Ordering> {
    Some(FirmwareVersion::parse(left)?.cmp(&FirmwareVersion::parse(right)?))
}

/// A requirement such as `<2.0.0`, `>=1.2, <2`, `^1.4`, `~1.4.2`, `1.*`, or a bare version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRequirement(Vec<Comparator>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Comparator {
    Exactly(FirmwareVersion),
    Less(FirmwareVersion),
    LessOrEqual(FirmwareVersion),
    Greater(FirmwareVersion),
    GreaterOrEqual(FirmwareVersion),
    /// At least the version, with the first `kept` numbers below `ceiling`.
    Within {
        floor: FirmwareVersion,
        ceiling: [u64; NUMBERS_MAX],
    },
    Any,
}

impl VersionRequirement {
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > COMPARATORS_MAX {
            return Err(format!("more than {COMPARATORS_MAX} comparators"));
        }
        parts
            .into_iter()
            .map(|part| Comparator::parse(part).ok_or_else(|| format!("{part:?} is not a version requirement")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a version text meets the requirement; a text that can't be parsed meets only `*`.
    pub fn matches(&self, text: &str) -> bool {
        match FirmwareVersion::parse(text) {
            Some(version) => self.0.iter().all(|comparator| comparator.matches(&version)),
            None => false,
        }
    }
}

impl Comparator {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let end = text.find(|c: char| !"<>=^~".contains(c)).unwrap_or(text.len());
        let (operator, rest) = text.split_at(end);
        if operator.is_empty()
            && let Some(prefix) = rest.strip_suffix(".*").or_else(|| rest.strip_suffix(".x"))
        {
            let (floor, given) = FirmwareVersion::parse_prefix(prefix)?;
            return Some(Self::Within { ceiling: bump(floor.numbers, given.checked_sub(1)?), floor });
        }
        let (version, given) = FirmwareVersion::parse_prefix(rest)?;
        Some(match operator {
            "" | "=" | "==" => Self::Exactly(version),
            "<" => Self::Less(version),
            "<=" => Self::LessOrEqual(version),
            ">" => Self::Greater(version),
            ">=" => Self::GreaterOrEqual(version),
            "^" => {
                let first = version.numbers[..given].iter().position(|n| *n > 0).unwrap_or(given - 1);
                Self::Within { ceiling: bump(version.numbers, first), floor: version }
            }
            "~" => Self::Within { ceiling: bump(version.numbers, (given - 1).min(1)), floor: version },
            _ => return None,
        })
    }

    fn matches(&self, version: &FirmwareVersion) -> bool {
        match self {
            Self::Exactly(wanted) => version == wanted,
            Self::Less(bound) => version < bound,
            Self::LessOrEqual(bound) => version <= bound,
            Self::Greater(bound) => version > bound,
            Self::GreaterOrEqual(bound) => version >= bound,
            Self::Within { floor, ceiling } => version >= floor && version.numbers < *ceiling,
            Self::Any => true,
        }
    }
}

/// The smallest numbers above every one that shares `numbers[..=index]`.
fn bump(numbers: [u64; NUMBERS_MAX], index: usize) -> [u64; NUMBERS_MAX] {
    let mut next = [0; NUMBERS_MAX];
    next[..=index].copy_from_slice(&numbers[..=index]);
    next[index] = next[index].saturating_add(1);
    next
}

/// Hardware versions are often a single number or letter: compared as versions, else as text of the same length.
pub fn compare_hardware(left: &str, right: &str) -> Option<Ordering> {
    let padded = |text: &str| if text.contains('.') { text.to_owned() } else { format!("{text}.0") };
    compare(&padded(left), &padded(right)).or_else(|| (left.len() == right.len()).then(|| left.cmp(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(requirement: &str, version: &str) -> bool {
        VersionRequirement::parse(requirement).unwrap().matches(version)
    }

    #[test]
    fn a_bare_version_means_exactly_that_version() {
        assert!(meets("1.9.0", "1.9.0"));
        assert!(meets("1.9.0", "v1.9"));
        assert!(!meets("1.9.0", "1.9.1"));
        assert!(!meets("1.9.0", "1.10.0"));
    }

    #[test]
    fn prereleases_compare_by_precedence() {
        assert!(meets("<2.0.0", "1.9.0-beta"));
        assert!(meets("<2.0.0", "2.0.0-rc.1"));
        assert!(!meets("<2.0.0", "2.0.0"));
        assert!(!meets("^1.2", "2.0.0-rc.1"), "a pre-release of the next major is not compatible");
        assert_eq!(compare("2.0.0-rc.2", "2.0.0-rc.10"), Some(Ordering::Less));
    }

    #[test]
    fn ranges_follow_the_usual_reading() {
        for (requirement, yes, no) in [
            ("^1.4", "1.9.3", "2.0.0"),
            ("^0.3.1", "0.3.9", "0.4.0"),
            ("~1.4.2", "1.4.9", "1.5.0"),
            ("~1.4", "1.4.0", "1.5.0"),
            ("1.*", "1.99.0", "2.0.0"),
            ("1.2.x", "1.2.7", "1.3.0"),
            (">=1.2, <2", "1.9.9.9", "2.0"),
            ("*", "7.1", "garbage"),
        ] {
            assert!(meets(requirement, yes), "{requirement} takes {yes}");
            assert!(!meets(requirement, no), "{requirement} leaves {no}");
        }
    }

    #[test]
    fn spelling_makes_no_other_version() {
        for (left, right) in [
            ("2.1.0", "v2.1.0"),
            ("2.1.0", "2.1.0+b7"),
            ("28.0.0", "28.00.00"),
            ("2.1.0", "2.1"),
            ("2.1.0", "2.1.0.0"),
            ("2.1.0", " 2.1.0 "),
            ("2.1.0-rc.1", "2.1.0-rc.01"),
            ("7", "v07"),
            ("nightly", "vnightly"),
        ] {
            assert!(is_same(left, right) && is_same(right, left), "{left} {right}");
        }
        for (left, right) in [
            ("2.1.0", "2.1.1"),
            ("2.1.0", "2.1.0-rc.1"),
            ("2.1.0+g5a5a", "2.1.0+g4f1c"),
            ("nightly", "nightly2"),
            ("2.1.0", "nightly"),
        ] {
            assert!(!is_same(left, right) && !is_same(right, left), "{left} {right}");
        }
    }

    #[test]
    fn a_declared_version_must_match_with_its_label() {
        let declared = TargetVersion { version: "2.1.0", reported_version: Some("2.1.0+b7") };
        assert!(declared.is_met_by("v2.1+b7"));
        assert!(!declared.is_met_by("2.1.0+b8"));
        assert!(!declared.is_met_by("2.1.0"));
        let build = TargetVersion { version: "2.1.0", reported_version: Some("build-77") };
        assert!(build.is_met_by("build-77") && !build.is_met_by("2.1.0"));
        let plain = TargetVersion { version: "2.1.0", reported_version: None };
        assert!(plain.is_met_by("2.1.0+b7") && plain.is_met_by("2.1.0+b8"));
    }

    #[test]
    fn what_cannot_be_read_compares_with_nothing() {
        assert_eq!(compare("1.0.0", "nightly"), None);
        assert_eq!(compare("5", "1.0"), None);
        assert!(VersionRequirement::parse("").is_err());
        assert!(VersionRequirement::parse("=>1").is_err());
        assert!(!meets("<2.0.0", "latest"));
    }
}

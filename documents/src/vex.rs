//! Statements about vulnerabilities, as both formats of VEX make them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// Longest name of a vulnerability, in characters.
const VULNERABILITY_MAX_CHARS: usize = 64;

/// What a statement says. The later one is the worse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VexStatus {
    Fixed,
    NotAffected,
    UnderInvestigation,
    Affected,
}

impl VexStatus {
    pub fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::NotAffected => "not_affected",
            Self::UnderInvestigation => "under_investigation",
            Self::Affected => "affected",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Fixed, Self::NotAffected, Self::UnderInvestigation, Self::Affected]
            .into_iter()
            .find(|one| one.word() == word)
    }
}

/// What a document says of one vulnerability in a firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// In capitals, such as `CVE-2022-3602`.
    pub vulnerability: String,
    pub status: VexStatus,
    /// Why the firmware isn't affected, as the standard words it or as free text.
    pub justification: Option<String>,
    /// The component that it is about: a canonical package URL without version.
    pub package: Option<String>,
}

/// The name of a vulnerability as statements are compared by it; none if the text can't be one.
pub fn vulnerability_id(text: &str) -> Option<String> {
    let is_named = (1..=VULNERABILITY_MAX_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    is_named.then(|| text.to_ascii_uppercase())
}

/// Statements of one document, one for each vulnerability and component: the latest, and the worst of those at one time.
#[derive(Default)]
pub(crate) struct Statements(BTreeMap<Subject, Timed>);

/// A vulnerability, and the component if not all of the firmware is meant.
type Subject = (String, Option<String>);

/// A statement and its time.
type Timed = (Option<DateTime<Utc>>, Statement);

impl Statements {
    pub(crate) fn add(&mut self, at: Option<DateTime<Utc>>, statement: Statement) {
        let key = (statement.vulnerability.clone(), statement.package.clone());
        match self.0.get_mut(&key) {
            Some(known) if (at, statement.status) > (known.0, known.1.status) => *known = (at, statement),
            Some(_) => {}
            None => drop(self.0.insert(key, (at, statement))),
        }
    }

    pub(crate) fn all(self) -> Vec<Statement> {
        self.0.into_values().map(|(_, statement)| statement).collect()
    }
}

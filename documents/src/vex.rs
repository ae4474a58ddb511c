//! Statements about vulnerabilities, from a VEX of either format.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::error::DocumentError;
use crate::json::Read;
use crate::kept::KeptBytes;
use crate::limits::STATEMENTS_MAX;

/// Longest name of a vulnerability, in characters.
const VULNERABILITY_MAX_CHARS: usize = 64;

/// What a statement says, from the best to the worst.
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
    /// Why the firmware isn't affected: a word of the standard, or a free text.
    pub justification: Option<String>,
    /// The component that it is about: a canonical package URL without version. None: all of the firmware.
    pub package: Option<String>,
}

/// The name of a vulnerability as statements are compared by it; none if the text can't be one.
pub fn vulnerability_id(text: &str) -> Option<String> {
    let is_named = (1..=VULNERABILITY_MAX_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    is_named.then(|| text.to_ascii_uppercase())
}

/// Statements of one document, one for each vulnerability and component: the latest, and of several at one time the worst.
#[derive(Default)]
pub(crate) struct Statements {
    /// Also those that another statement replaced: a document can name many vulnerabilities and many components in few bytes, and each
    /// pair of them is a statement.
    added: usize,
    kept: KeptBytes,
    by_subject: BTreeMap<Subject, Timed>,
}

/// A vulnerability, and the component if not all of the firmware is meant.
type Subject = (String, Option<String>);

/// The time of a statement, its status and its justification.
type Timed = (Option<DateTime<Utc>>, VexStatus, Option<String>);

impl Statements {
    pub(crate) fn add(&mut self, at: Option<DateTime<Utc>>, statement: Statement) -> Read<()> {
        self.added += 1;
        if self.added > STATEMENTS_MAX {
            return Err(DocumentError::TooManyStatements);
        }
        let Statement { vulnerability, status, justification, package } = statement;
        let texts = [Some(vulnerability.as_str()), justification.as_deref(), package.as_deref()];
        self.kept.add(texts.into_iter().flatten())?;
        let subject = (vulnerability, package);
        let is_outdated = self.by_subject.get(&subject).is_some_and(|known| (known.0, known.1) >= (at, status));
        if !is_outdated {
            self.by_subject.insert(subject, (at, status, justification));
        }
        Ok(())
    }

    pub(crate) fn into_all(self) -> Vec<Statement> {
        self.by_subject
            .into_iter()
            .map(|((vulnerability, package), (_, status, justification))| Statement {
                vulnerability,
                status,
                justification,
                package,
            })
            .collect()
    }
}

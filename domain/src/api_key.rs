//! The ApiKey aggregate: what a program may do with a key, and until when.
//!
//! Only the hash of the key is known here. Roles are words; what each allows is the API's matter, and one that it doesn't know allows
//! nothing.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::campaign::Violation;
use crate::decider::Decider;
use crate::ids::ApiKeyId;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::token_hash::TokenHash;
use crate::values::{SHORT_TEXT_MAX_CHARS, is_short_text};

/// Most roles of a key.
pub const ROLES_MAX: usize = 8;
/// Longest name of a role, in bytes.
pub const ROLE_MAX_BYTES: usize = 32;
/// Longest life of a key that has an end, in days.
pub const LIFE_MAX_DAYS: i64 = 3_660;

/// What a key allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyTerms {
    pub roles: BTreeSet<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Sealed<String>>,
    /// None: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl ApiKeyTerms {
    /// All violations at the time of issue, in the order of the fields.
    pub fn violations(&self, now: DateTime<Utc>) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add = |field: &str, reason: String| found.push((field.to_owned(), reason));
        if self.roles.is_empty() || self.roles.len() > ROLES_MAX {
            add("roles", format!("1 to {ROLES_MAX} roles"));
        } else if !self.roles.iter().all(|role| is_role(role)) {
            add("roles", format!("each 1 to {ROLE_MAX_BYTES} of a to z and _"));
        }
        let label = self.label.as_ref().and_then(Sealed::plain);
        if label.is_some_and(|label| !is_short_text(label)) {
            add("label", format!("1 to {SHORT_TEXT_MAX_CHARS} characters without control characters"));
        }
        match self.expires_at {
            Some(at) if at <= now => add("expires_at", "is over".to_owned()),
            Some(at) if at > now + TimeDelta::days(LIFE_MAX_DAYS) => {
                add("expires_at", format!("at most {LIFE_MAX_DAYS} days ahead"));
            }
            Some(_) | None => {}
        }
        found
    }
}

fn is_role(text: &str) -> bool {
    (1..=ROLE_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ApiKeyEvent {
    #[serde(rename = "api_key.issued")]
    Issued {
        /// Never shown: see [`crate::events::hidden_fields`].
        hash: TokenHash,
        #[serde(flatten)]
        terms: ApiKeyTerms,
    },
    #[serde(rename = "api_key.revoked")]
    Revoked {},
}

crate::event_types!(ApiKeyEvent {
    Issued => "api_key.issued" v 1,
    Revoked => "api_key.revoked" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ApiKeyCommand {
    Issue { hash: TokenHash, terms: ApiKeyTerms },
    Revoke,
}

/// What a key can still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ApiKeyStatus {
    Active,
    Revoked,
    Expired,
}

/// State of an API key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    issued: Option<(TokenHash, ApiKeyTerms)>,
    revoked: bool,
}

crate::aggregate!(ApiKey, "api_key", ApiKeyCommand, ApiKeyEvent);

impl ApiKey {
    pub fn apply(&mut self, event: &ApiKeyEvent) {
        match event {
            ApiKeyEvent::Issued { hash, terms } => self.issued = Some((*hash, terms.clone())),
            ApiKeyEvent::Revoked {} => self.revoked = true,
        }
    }

    /// Whether the key of this hash was issued as this one. It may have expired or been revoked since.
    pub fn is_of(&self, hash: &TokenHash) -> bool {
        self.issued.as_ref().is_some_and(|(issued, _)| issued == hash)
    }

    /// What it allows; none if it was never issued.
    pub fn terms(&self) -> Option<&ApiKeyTerms> {
        self.issued.as_ref().map(|(_, terms)| terms)
    }

    pub fn status(&self, now: DateTime<Utc>) -> ApiKeyStatus {
        let expires_at = self.terms().and_then(|terms| terms.expires_at);
        match expires_at {
            _ if self.revoked => ApiKeyStatus::Revoked,
            Some(at) if now >= at => ApiKeyStatus::Expired,
            Some(_) | None => ApiKeyStatus::Active,
        }
    }
}

impl Decider for ApiKey {
    type Command = ApiKeyCommand;
    type Id = ApiKeyId;

    fn wants_reason(command: &ApiKeyCommand) -> bool {
        matches!(command, ApiKeyCommand::Revoke)
    }

    fn decide(&self, now: DateTime<Utc>, command: &ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, Rejection> {
        use ApiKeyCommand as C;
        match (&self.issued, command) {
            (Some(_), C::Issue { .. }) => Err(Rejection::ApiKeyExists),
            (None, C::Issue { hash, terms }) => match terms.violations(now).into_iter().next() {
                Some((field, reason)) => Err(Rejection::Invalid { field, reason }),
                None => Ok(vec![ApiKeyEvent::Issued { hash: *hash, terms: terms.clone() }]),
            },
            (None, C::Revoke) => Err(Rejection::ApiKeyUnknown),
            (Some(_), C::Revoke) if self.revoked => Ok(vec![]),
            (Some(_), C::Revoke) => Ok(vec![ApiKeyEvent::Revoked {}]),
        }
    }

    fn exists(&self) -> bool {
        self.issued.is_some()
    }
}

//! How events and commands name a secret. The value itself is never in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidId, SecretName};

/// Beginning of every reference. A value that was put in place of a reference does not begin like this, so it is refused.
const PREFIX: &str = "secret:";

/// A secret of the tenant of the event that has this reference: `secret:NAME`. There is no reference to another tenant's secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(pub SecretName);

/// A text that is not a reference. It isn't repeated, because it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is named by secret:NAME, NAME being [a-z0-9][a-z0-9_-]{{0,63}}")]
pub struct InvalidSecretRef;

impl From<InvalidId> for InvalidSecretRef {
    fn from(_: InvalidId) -> Self {
        Self
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl FromStr for SecretRef {
    type Err = InvalidSecretRef;
    fn from_str(text: &str) -> Result<Self, InvalidSecretRef> {
        let name = text.strip_prefix(PREFIX).ok_or(InvalidSecretRef)?;
        Ok(Self(SecretName::new(name)?))
    }
}

impl TryFrom<String> for SecretRef {
    type Error = InvalidSecretRef;
    fn try_from(text: String) -> Result<Self, InvalidSecretRef> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> String {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back() {
        let reference: SecretRef = serde_json::from_str("\"secret:chirpstack-key\"").unwrap();
        assert_eq!(reference.0.as_str(), "chirpstack-key");
        assert_eq!(serde_json::to_string(&reference).unwrap(), "\"secret:chirpstack-key\"");
    }

    #[test]
    fn a_value_in_place_of_a_reference_is_refused_and_not_repeated() {
        for text in ["geheim", "secret:", "secret:Geheim", "secret:geheim.x", "SECRET:geheim"] {
            let error = serde_json::from_str::<SecretRef>(&format!("\"{text}\"")).unwrap_err().to_string();
            assert!(error.contains("secret:NAME") && !error.to_lowercase().contains("geheim"), "{error}");
        }
    }
}

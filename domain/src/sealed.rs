//! Free text and names of persons. They are stored as plain text today. The sealed form is part of the format already, so that values can
//! later be encrypted and their keys destroyed.

use serde::{Deserialize, Serialize};

/// A value that may later be encrypted for a person: `"text"` or `{"$sealed": "…"}` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sealed<T> {
    Sealed {
        #[serde(rename = "$sealed")]
        sealed: String,
    },
    Plain(T),
}

impl<T> Sealed<T> {
    /// The value, unless it is sealed.
    pub fn plain(&self) -> Option<&T> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Sealed { .. } => None,
        }
    }
}

impl<T> From<T> for Sealed<T> {
    fn from(value: T) -> Self {
        Self::Plain(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_their_own_json() {
        let plain: Sealed<String> = serde_json::from_str("\"hello\"").unwrap();
        assert_eq!(plain.plain().map(String::as_str), Some("hello"));
        let sealed: Sealed<String> = serde_json::from_str("{\"$sealed\":\"abc\"}").unwrap();
        assert_eq!(serde_json::to_string(&sealed).unwrap(), "{\"$sealed\":\"abc\"}");
        assert_eq!(sealed.plain(), None);
    }
}

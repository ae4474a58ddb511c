//! The keyed hash of a token. Events have it in place of the token, which is never stored.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Bytes of a hash.
pub const TOKEN_HASH_BYTES: usize = 32;

/// The keyed hash of a token, 64 lower-case hex digits in JSON. It is compared in constant time and never printed.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; TOKEN_HASH_BYTES]);

impl TokenHash {
    pub const fn new(bytes: [u8; TOKEN_HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl TryFrom<String> for TokenHash {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; TOKEN_HASH_BYTES];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| "a hash is 64 hex digits".to_owned())?;
        Ok(Self(bytes))
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> String {
        hex::encode(hash.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_stored_and_not_printed() {
        let hash = TokenHash::new([0xab; TOKEN_HASH_BYTES]);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(TOKEN_HASH_BYTES)));
        assert_eq!(serde_json::from_str::<TokenHash>(&json).unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "…");
        assert_ne!(hash, TokenHash::new([0; TOKEN_HASH_BYTES]));
    }

    #[test]
    fn a_text_that_is_no_hash_is_refused_and_not_repeated() {
        let error = serde_json::from_str::<TokenHash>("\"geheim\"").unwrap_err().to_string();
        assert!(error.contains("64 hex digits") && !error.contains("geheim"), "{error}");
    }
}

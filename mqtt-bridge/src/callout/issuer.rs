//! The key that signs answers: an account's nkey, as NATS calls it. nats.conf has its public part as `issuer`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Serialize;

/// Header of every token of NATS.
const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// A text that is not the seed of an account. It is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the seed of a NATS account, which begins with SA: nk -gen account")]
pub struct InvalidSeed;

/// The key pair of the account that signs who may connect.
pub struct Issuer {
    pair: KeyPair,
    public_key: String,
}

impl Issuer {
    pub fn from_seed(seed: &str) -> Result<Self, InvalidSeed> {
        let pair = KeyPair::from_seed(seed).map_err(|_| InvalidSeed)?;
        match pair.key_pair_type() {
            KeyPairType::Account => Ok(Self { public_key: pair.public_key(), pair }),
            _ => Err(InvalidSeed),
        }
    }

    /// The seed of a new key pair.
    pub fn generate_seed() -> String {
        let seed = KeyPair::new_account().seed();
        seed.expect("a generated key pair has its seed")
    }

    /// The value of `issuer` in nats.conf.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// A signed token with these claims.
    pub(super) fn token(&self, claims: &impl Serialize) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are plain texts and numbers");
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{signature}")
    }

    /// A signature as text.
    pub(super) fn signature(&self, bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(bytes).expect("a key pair with its seed signs"))
    }

    /// Whether this key pair has made a signature.
    pub(super) fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature);
        signature.is_ok_and(|signature| self.pair.verify(bytes, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_accounts_seed_is_an_issuer() {
        let seed = Issuer::generate_seed();
        let issuer = Issuer::from_seed(&seed).unwrap();
        assert!(seed.starts_with("SA") && issuer.public_key().starts_with('A'));
        assert!(issuer.has_signed(b"x", &issuer.signature(b"x")));
        assert!(!issuer.has_signed(b"y", &issuer.signature(b"x")));
        let user = KeyPair::new_user().seed().unwrap();
        for wrong in [&user, issuer.public_key(), "", "SA"] {
            let error = Issuer::from_seed(wrong).err().unwrap().to_string();
            assert!(wrong.len() < 3 || !error.contains(wrong), "{error}");
        }
    }
}

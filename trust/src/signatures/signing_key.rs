//! The private key with which a build server signs manifests.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{Manifest, SIGNATURE_BYTES, VerificationKey};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// An Ed25519 key. It does not print itself.
pub struct SigningKey(Ed25519KeyPair);

/// A text that is no such key. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {
    #[error("the key is encrypted: decrypt it first, for example with `openssl pkey`")]
    Encrypted,
    #[error("not PEM of an Ed25519 private key, such as `openssl genpkey -algorithm ed25519` prints")]
    Malformed,
}

impl SigningKey {
    /// Reads PKCS #8 in PEM, as OpenSSL writes it.
    pub fn from_pem(text: &str) -> Result<Self, InvalidSigningKey> {
        if text.contains("ENCRYPTED") {
            return Err(InvalidSigningKey::Encrypted);
        }
        let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
        let body: String = body.ok_or(InvalidSigningKey::Malformed)?.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| InvalidSigningKey::Malformed)?;
        // OpenSSL's form has no public key in it that could be compared.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| InvalidSigningKey::Malformed)?;
        Ok(Self(pair))
    }

    pub fn verification_key(&self) -> VerificationKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        VerificationKey::of_ed25519(bytes)
    }

    pub fn sign(&self, manifest: &Manifest<'_>) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.0.sign(manifest.to_string().as_bytes()).as_ref());
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use domain::values::Sha256Digest;

    use super::*;

    /// Of RFC 8410, section 10.3.
    const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const ITS_PUBLIC_KEY: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    fn manifest(version: &str) -> Manifest<'_> {
        Manifest::new("M", "firmware", version, 3, Sha256Digest::of(b"one")).unwrap()
    }

    #[test]
    fn what_is_signed_is_verified_and_nothing_else() {
        let key = SigningKey::from_pem(RFC_8410).unwrap();
        let verifying = key.verification_key();
        assert!(verifying.to_pem().contains(ITS_PUBLIC_KEY), "{}", verifying.to_pem());
        let signature = key.sign(&manifest("2.0.0"));
        assert!(verifying.verifies(&manifest("2.0.0"), &signature));
        assert!(!verifying.verifies(&manifest("2.0.1"), &signature));
        assert!(!verifying.verifies(&manifest("2.0.0"), &signature[1..]));
        let mut other = signature;
        other[5] ^= 1;
        assert!(!verifying.verifies(&manifest("2.0.0"), &other));
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }

    #[test]
    fn other_texts_are_refused_and_not_repeated() {
        assert_eq!(SigningKey::from_pem("secret").unwrap_err(), InvalidSigningKey::Malformed);
        let encrypted = RFC_8410.replace("PRIVATE", "ENCRYPTED PRIVATE");
        assert_eq!(SigningKey::from_pem(&encrypted).unwrap_err(), InvalidSigningKey::Encrypted);
        let truncated = RFC_8410.replace("VhC", "");
        assert_eq!(SigningKey::from_pem(&truncated).unwrap_err(), InvalidSigningKey::Malformed);
    }
}

//! Public keys that verify signatures, in the forms in which tools print them.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::Manifest;

/// Longest text of a key, in bytes.
pub const VERIFICATION_KEY_MAX_BYTES: usize = 1_024;
/// What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Bytes of minisign's key before the Ed25519 key: the algorithm, and a number of the key.
const MINISIGN_ALGORITHM: &[u8] = b"Ed";
const MINISIGN_NUMBER_BYTES: usize = 8;

/// What a key can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Manifests, and what minisign signs with this key.
    Ed25519,
    /// What cosign signs.
    EcdsaP256,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationKey(Key);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Ed25519([u8; 32]),
    EcdsaP256(Box<p256::ecdsa::VerifyingKey>),
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerificationKey {
    #[error("larger than {VERIFICATION_KEY_MAX_BYTES} bytes")]
    TooLong,
    #[error("this is a private key: keep it secret, and give the public one")]
    Private,
    #[error("neither PEM of a public key, nor 32 bytes of Ed25519 in base64, nor minisign's public key")]
    Malformed,
    #[error("the key is neither Ed25519 nor ECDSA with P-256")]
    OtherAlgorithm,
}

impl VerificationKey {
    pub(super) fn of_ed25519(bytes: [u8; 32]) -> Self {
        Self(Key::Ed25519(bytes))
    }

    /// Names the key for certain: the SHA-256 of its bytes (Ed25519: 32; P-256: the uncompressed point). Its first 8 hex digits stand in
    /// commands: they say which key to try and prove nothing.
    pub fn fingerprint(&self) -> [u8; 32] {
        match &self.0 {
            Key::Ed25519(bytes) => Sha256::digest(bytes).into(),
            Key::EcdsaP256(key) => Sha256::digest(key.to_encoded_point(false).as_bytes()).into(),
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Key::Ed25519(_) => Algorithm::Ed25519,
            Key::EcdsaP256(_) => Algorithm::EcdsaP256,
        }
    }

    /// The key as SubjectPublicKeyInfo in PEM. All forms of a key give the same text.
    pub fn to_pem(&self) -> String {
        let ed25519 = |bytes: &[u8; 32]| {
            let body = STANDARD.encode([&ED25519_SPKI[..], bytes].concat());
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
        };
        match &self.0 {
            Key::Ed25519(bytes) => ed25519(bytes),
            Key::EcdsaP256(key) => key.to_public_key_pem(LineEnding::LF).unwrap_or_default(),
        }
    }

    /// Whether the key signed the manifest.
    pub fn verifies(&self, manifest: &Manifest<'_>, signature: &[u8]) -> bool {
        self.verifies_ed25519(manifest.to_string().as_bytes(), signature)
    }

    /// Whether the key signed a message: Ed25519 as it is, P-256 by its SHA-256 with a signature in ASN.1 DER.
    pub fn verifies_message(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm() {
            Algorithm::Ed25519 => self.verifies_ed25519(message, signature),
            Algorithm::EcdsaP256 => self.verifies_ecdsa(&Sha256::digest(message).into(), signature),
        }
    }

    pub(super) fn verifies_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Key::Ed25519(bytes) => UnparsedPublicKey::new(&ED25519, bytes).verify(message, signature).is_ok(),
            Key::EcdsaP256(_) => false,
        }
    }

    /// `signature`: ASN.1 DER.
    pub(super) fn verifies_ecdsa(&self, sha256: &[u8; 32], signature: &[u8]) -> bool {
        match &self.0 {
            Key::EcdsaP256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify_prehash(sha256, &signature).is_ok()),
            Key::Ed25519(_) => false,
        }
    }
}

impl FromStr for VerificationKey {
    type Err = InvalidVerificationKey;

    /// Reads PEM (`BEGIN PUBLIC KEY`), the 32 bytes of an Ed25519 key in base64, or minisign's public key with or without its comment.
    fn from_str(text: &str) -> Result<Self, InvalidVerificationKey> {
        if text.len() > VERIFICATION_KEY_MAX_BYTES {
            return Err(InvalidVerificationKey::TooLong);
        }
        let text = text.trim();
        if text.contains("PRIVATE KEY") || text.contains("SECRET KEY") {
            return Err(InvalidVerificationKey::Private);
        }
        if text.starts_with("-----BEGIN") {
            return of_pem(text);
        }
        let line = match text.split_once('\n') {
            Some((comment, rest)) if comment.starts_with("untrusted comment:") => rest.trim(),
            _ => text,
        };
        let bytes = STANDARD.decode(line).map_err(|_| InvalidVerificationKey::Malformed)?;
        let minisign = bytes.strip_prefix(MINISIGN_ALGORITHM).and_then(|rest| rest.get(MINISIGN_NUMBER_BYTES..));
        let key = if bytes.len() == 32 { Some(bytes.as_slice()) } else { minisign };
        key.and_then(|key| key.try_into().ok()).map(Self::of_ed25519).ok_or(InvalidVerificationKey::Malformed)
    }
}

fn of_pem(text: &str) -> Result<VerificationKey, InvalidVerificationKey> {
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(text) {
        return Ok(VerificationKey(Key::EcdsaP256(Box::new(key))));
    }
    let body = text
        .strip_prefix("-----BEGIN PUBLIC KEY-----")
        .and_then(|rest| rest.trim_end().strip_suffix("-----END PUBLIC KEY-----"))
        .ok_or(InvalidVerificationKey::Malformed)?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| InvalidVerificationKey::Malformed)?;
    let key = der.strip_prefix(&ED25519_SPKI[..]).ok_or(InvalidVerificationKey::OtherAlgorithm)?;
    key.try_into().map(VerificationKey::of_ed25519).map_err(|_| InvalidVerificationKey::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 8410, section 10.1.
    const RFC_8410: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn one_key_has_one_id_and_one_text_in_each_of_its_forms() {
        let key: VerificationKey = RFC_8410.parse().unwrap();
        assert_eq!((key.algorithm(), key.to_pem().as_str()), (Algorithm::Ed25519, RFC_8410));
        let Key::Ed25519(bytes) = key.0.clone() else { panic!("Ed25519") };
        let bare: VerificationKey = STANDARD.encode(bytes).parse().unwrap();
        let number = [7; MINISIGN_NUMBER_BYTES];
        let minisign = STANDARD.encode([MINISIGN_ALGORITHM, &number, &bytes].concat());
        let commented = format!("untrusted comment: minisign public key 0707\n{minisign}\n");
        for other in [bare, minisign.parse().unwrap(), commented.parse().unwrap()] {
            assert_eq!((other.fingerprint(), other.to_pem()), (key.fingerprint(), RFC_8410.to_owned()));
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_its_reason() {
        use InvalidVerificationKey as E;
        let long = "A".repeat(VERIFICATION_KEY_MAX_BYTES + 1);
        let private = RFC_8410.replace("PUBLIC", "PRIVATE");
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK==\n-----END PUBLIC KEY-----";
        for (text, expected) in [
            (long.as_str(), E::TooLong),
            (private.as_str(), E::Private),
            ("untrusted comment: minisign encrypted secret key\nRWQ=", E::Malformed),
            ("", E::Malformed),
            ("AAAA", E::Malformed),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", E::Malformed),
        ] {
            assert_eq!(text.parse::<VerificationKey>().unwrap_err(), expected, "{text}");
        }
        assert!(rsa.parse::<VerificationKey>().is_err());
    }
}

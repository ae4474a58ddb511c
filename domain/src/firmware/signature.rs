//! Signatures of a firmware. Each was checked with its key before it came here; whether the key is trusted is another question, which the
//! tenant answers each time something is to go out.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::values::Sha256Digest;

/// Most signatures of one firmware.
pub const SIGNATURES_MAX: usize = 16;
/// Hex digits of a fingerprint that are the key's short id.
const SHORT_ID_DIGITS: usize = 8;

/// What was signed, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
pub enum SignatureScheme {
    /// Ed25519 over the manifest of the device protocol. Devices can check it, so commands carry it.
    #[serde(rename = "waybill-manifest-v1")]
    #[strum(serialize = "waybill-manifest-v1")]
    Manifest,
    /// A file of minisign over the bytes, checked at the upload.
    #[serde(rename = "minisign")]
    #[strum(serialize = "minisign")]
    Minisign,
    /// A bundle of cosign over the bytes.
    #[serde(rename = "cosign-bundle")]
    #[strum(serialize = "cosign-bundle")]
    CosignBundle,
}

impl SignatureScheme {
    pub fn word(self) -> &'static str {
        self.into()
    }
}

/// Names a public key for certain: the SHA-256 of its bytes (Ed25519: 32 bytes; P-256: the uncompressed point).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyFingerprint(pub Sha256Digest);

impl KeyFingerprint {
    /// The id that stands in commands: the first 8 hex digits. It says which key to try and proves nothing.
    pub fn short_id(self) -> String {
        self.to_string()[..SHORT_ID_DIGITS].to_owned()
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyFingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Sha256Digest::from_hex(text).map(Self).ok_or_else(|| "64 hex digits".to_owned())
    }
}

/// A signature by one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareSignature {
    pub scheme: SignatureScheme,
    pub key: KeyFingerprint,
    /// Base64. Ed25519: 64 bytes; P-256: ASN.1 DER.
    pub signature: String,
}

/// Which signatures a tenant asks for before a firmware goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignaturePolicy {
    /// Different trusted keys that must have signed; 0 asks for none.
    pub required: u8,
    pub trusted: BTreeSet<KeyFingerprint>,
}

impl SignaturePolicy {
    /// Whether a firmware with these signatures may not go out.
    pub fn refuses(&self, signatures: &[FirmwareSignature]) -> bool {
        let signers: BTreeSet<_> =
            signatures.iter().map(|one| one.key).filter(|key| self.trusted.contains(key)).collect();
        signers.len() < usize::from(self.required)
    }

    /// The signatures that devices can check, by trusted keys.
    pub fn for_devices<'a>(
        &'a self,
        signatures: &'a [FirmwareSignature],
    ) -> impl Iterator<Item = &'a FirmwareSignature> {
        signatures.iter().filter(|one| one.scheme == SignatureScheme::Manifest && self.trusted.contains(&one.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(key: &str, scheme: SignatureScheme) -> FirmwareSignature {
        FirmwareSignature {
            scheme,
            key: KeyFingerprint(Sha256Digest::of(key.as_bytes())),
            signature: "AA==".to_owned(),
        }
    }

    #[test]
    fn different_trusted_keys_count_and_nothing_else() {
        use SignatureScheme::{CosignBundle, Manifest, Minisign};
        let trusted = ["one", "two"].map(|key| by(key, Manifest).key).into();
        let policy = |required| SignaturePolicy { required, trusted: BTreeSet::clone(&trusted) };
        let (one, two, other) = (by("one", Manifest), by("two", CosignBundle), by("other", Manifest));
        assert!(!policy(0).refuses(&[]) && policy(1).refuses(&[]) && policy(1).refuses(std::slice::from_ref(&other)));
        assert!(!policy(1).refuses(&[other.clone(), one.clone()]));
        assert!(policy(2).refuses(&[one.clone(), by("one", Minisign)]), "one key signed twice");
        assert!(!policy(2).refuses(&[one.clone(), two.clone()]));
        let all = [one.clone(), two, other];
        assert_eq!(policy(0).for_devices(&all).collect::<Vec<_>>(), [&one]);
    }
}

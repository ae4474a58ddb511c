//! Bundles of cosign, checked without asking anybody: `cosign sign-blob --key … --bundle FILE`, of the older form and of Sigstore's own
//! (`application/vnd.dev.sigstore.bundle…`).
//!
//! Only signatures by a key that is trusted by itself are checked. A bundle whose signer is a certificate (keyless) is refused: what it
//! proves depends on Sigstore's roots and on its log, which are asked or followed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::values::Sha256Digest;
use serde::Deserialize;

use super::VerificationKey;

/// Longest bundle, in bytes.
const BUNDLE_MAX_BYTES: usize = 64 * 1024;
/// Beginning of the type of Sigstore's bundles.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";
const SHA_256: &str = "SHA2_256";

/// The signature in a bundle, and what it says it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignBundle {
    /// ASN.1 DER.
    signature: Vec<u8>,
    /// Where the bundle says it.
    digest: Option<Sha256Digest>,
}

/// A text that is no bundle that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    #[error("larger than {BUNDLE_MAX_BYTES} bytes")]
    TooLarge,
    #[error("not a bundle of cosign with the signature of a blob")]
    Malformed,
    #[error("signed without a key (its signer is a certificate): sign with `cosign sign-blob --key`")]
    Keyless,
    #[error("its digest is not a SHA-256")]
    OtherDigest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    message_signature: MessageSignature,
    #[serde(default)]
    verification_material: Material,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    signature: String,
    message_digest: Option<MessageDigest>,
}

#[derive(Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    certificate: Option<serde::de::IgnoredAny>,
    x509_certificate_chain: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OlderBundle {
    base64_signature: String,
    #[serde(default)]
    cert: Option<String>,
}

impl CosignBundle {
    pub fn parse(text: &str) -> Result<Self, InvalidBundle> {
        if text.len() > BUNDLE_MAX_BYTES {
            return Err(InvalidBundle::TooLarge);
        }
        if let Ok(bundle) = serde_json::from_str::<SigstoreBundle>(text) {
            return Self::of_sigstore(&bundle);
        }
        let bundle: OlderBundle = serde_json::from_str(text).map_err(|_| InvalidBundle::Malformed)?;
        // cosign writes the public key into `cert` when it signs with one.
        let is_keyless = bundle.cert.is_some_and(|cert| is_certificate(&cert));
        if is_keyless {
            return Err(InvalidBundle::Keyless);
        }
        Ok(Self { signature: decoded(&bundle.base64_signature)?, digest: None })
    }

    fn of_sigstore(bundle: &SigstoreBundle) -> Result<Self, InvalidBundle> {
        let material = &bundle.verification_material;
        if !bundle.media_type.starts_with(MEDIA_TYPE) {
            return Err(InvalidBundle::Malformed);
        }
        if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
            return Err(InvalidBundle::Keyless);
        }
        let digest = match &bundle.message_signature.message_digest {
            Some(named) if named.algorithm != SHA_256 => return Err(InvalidBundle::OtherDigest),
            Some(named) => {
                let bytes = decoded(&named.digest)?;
                Some(Sha256Digest(bytes.try_into().map_err(|_| InvalidBundle::OtherDigest)?))
            }
            None => None,
        };
        Ok(Self { signature: decoded(&bundle.message_signature.signature)?, digest })
    }

    /// ASN.1 DER.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether a key signed the bytes with this digest.
    pub fn is_by(&self, key: &VerificationKey, sha256: &Sha256Digest) -> bool {
        self.digest.is_none_or(|named| named == *sha256) && key.verifies_ecdsa(&sha256.0, &self.signature)
    }
}

/// A certificate in PEM, as it is or in base64.
fn is_certificate(text: &str) -> bool {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let of_base64 = || STANDARD.decode(text).is_ok_and(|bytes| bytes.starts_with(BEGIN.as_bytes()));
    text.starts_with(BEGIN) || of_base64()
}

fn decoded(text: &str) -> Result<Vec<u8>, InvalidBundle> {
    STANDARD.decode(text).map_err(|_| InvalidBundle::Malformed)
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::hazmat::PrehashSigner;
    use p256::pkcs8::{EncodePublicKey, LineEnding};
    use serde_json::json;

    use super::*;

    /// A key, and its signature of `digest` in base64.
    fn signed(digest: &Sha256Digest) -> (VerificationKey, String) {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let public = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
        let signature: p256::ecdsa::DerSignature = key.sign_prehash(&digest.0).unwrap();
        (public.parse().unwrap(), STANDARD.encode(signature.as_bytes()))
    }

    #[test]
    fn bundles_of_both_forms_are_checked_with_the_key() {
        let (one, two) = (Sha256Digest::of(b"one"), Sha256Digest::of(b"two"));
        let (key, signature) = signed(&one);
        let sigstore = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
            "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(one.0)}, "signature": signature},
        });
        let older = json!({"base64Signature": signature, "cert": STANDARD.encode(key.to_pem()), "rekorBundle": null});
        for text in [sigstore.to_string(), older.to_string()] {
            let bundle = CosignBundle::parse(&text).unwrap();
            assert!(bundle.is_by(&key, &one) && !bundle.is_by(&key, &two), "{text}");
            let other = super::super::SigningKey::from_pem(
                "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----",
            );
            assert!(!bundle.is_by(&other.unwrap().verification_key(), &one));
        }
        let mut lying = sigstore;
        lying["messageSignature"]["messageDigest"]["digest"] = json!(STANDARD.encode(two.0));
        assert!(!CosignBundle::parse(&lying.to_string()).unwrap().is_by(&key, &one));
    }

    #[test]
    fn what_can_not_be_checked_alone_is_refused() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let keyless = json!({"base64Signature": "AAAA", "cert": STANDARD.encode(certificate)});
        assert_eq!(CosignBundle::parse(&keyless.to_string()), Err(InvalidBundle::Keyless));
        let keyless = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}},
            "messageSignature": {"signature": "AAAA"},
        });
        assert_eq!(CosignBundle::parse(&keyless.to_string()), Err(InvalidBundle::Keyless));
        for malformed in ["", "{}", "[]", r#"{"base64Signature":"*"}"#] {
            assert_eq!(CosignBundle::parse(malformed), Err(InvalidBundle::Malformed), "{malformed}");
        }
        assert_eq!(CosignBundle::parse(&" ".repeat(BUNDLE_MAX_BYTES + 1)), Err(InvalidBundle::TooLarge));
    }
}

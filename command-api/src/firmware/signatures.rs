//! Signatures of firmware in requests: each is checked with a key that the tenant trusts, before it is stored.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::firmware::{
    FirmwareBytes, FirmwareMetadata, FirmwareSignature, KeyFingerprint, SIGNATURES_MAX, SignatureScheme,
};
use domain::tenant::Tenant;
use domain::values::Sha256Digest;
use serde::{Deserialize, Serialize};
use trust::signatures::{CosignBundle, Manifest, MinisignSignature, SIGNATURE_BYTES, VerificationKey};
use utoipa::ToSchema;

use crate::http::Problem;

/// Largest signature in a request, in bytes: a bundle of cosign.
pub(super) const SIGNATURE_PART_MAX_BYTES: usize = 64 * 1024;

/// A signature of a manifest, as `waybill firmware sign` prints it, or the text of a tool's file.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"scheme": "waybill-manifest-v1", "key": "7692c3ad", "sig": "dHdvIHRpbWVzIHRoaXJ0eS10d28gYnl0ZXMgb2YgYW4gRWQyNTUxOSBzaWduYXR1cmUgYXJlIHNpeHR5LTQuLg=="}))]
pub(crate) struct SignatureRequest {
    /// `waybill-manifest-v1`, `cosign-bundle`, or, with the upload only, `minisign`.
    #[schema(value_type = String)]
    scheme: SignatureScheme,
    /// First 8 hex digits of the key's fingerprint, if only this key is to be tried.
    #[serde(default)]
    key: Option<String>,
    /// Base64 of the signature's 64 bytes; of the other schemes the text of the file.
    sig: String,
}

/// A signature by a key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignatureBody {
    /// `waybill-manifest-v1`, `minisign` or `cosign-bundle`.
    scheme: &'static str,
    /// The first 8 digits of `fingerprint`, as commands name the key.
    key: String,
    /// SHA-256 of the key's bytes.
    fingerprint: String,
    /// Base64.
    sig: String,
}

impl From<&FirmwareSignature> for SignatureBody {
    fn from(signature: &FirmwareSignature) -> Self {
        Self {
            scheme: signature.scheme.word(),
            key: signature.key.short_id(),
            fingerprint: signature.key.to_string(),
            sig: signature.signature.clone(),
        }
    }
}

/// What was signed, as far as it is known.
pub(super) struct Signed<'a> {
    pub(super) metadata: &'a FirmwareMetadata,
    pub(super) bytes: &'a FirmwareBytes,
    /// Of the bytes, while they are uploaded.
    pub(super) blake2b_512: Option<[u8; 64]>,
}

/// A public key's name in the domain.
pub(crate) fn fingerprint_of(key: &VerificationKey) -> KeyFingerprint {
    KeyFingerprint(Sha256Digest(key.fingerprint()))
}

impl SignatureRequest {
    /// The text of a file of minisign or cosign, or the JSON of a manifest's signature.
    pub(super) fn of_part(name: &str, text: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(text).map_err(|_| Problem::invalid(name, "is not text"))?;
        let file = |scheme| Self { scheme, key: None, sig: text.to_owned() };
        match name {
            "minisign" => Ok(file(SignatureScheme::Minisign)),
            "cosign_bundle" => Ok(file(SignatureScheme::CosignBundle)),
            _ => crate::http::body::parse(text.as_bytes()),
        }
    }

    /// The signature with the trusted key that made it. `field` names it in refusals.
    fn checked(&self, field: &str, tenant: &Tenant, signed: &Signed<'_>) -> Result<FirmwareSignature, Problem> {
        let invalid = |why: String| Problem::invalid(field, why);
        let is_by = self.check(signed).map_err(invalid)?;
        let keys = tenant.trusted_keys.0.iter().filter(|(fingerprint, _)| {
            self.key.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&fingerprint.short_id()))
        });
        let mut keys = keys.filter_map(|(fingerprint, key)| Some((*fingerprint, key.public_key.parse().ok()?)));
        let (key, _) = keys
            .find(|(_, key)| is_by(key))
            .ok_or_else(|| untrusted("it is not a signature of this firmware by a key that the tenant trusts"))?;
        Ok(FirmwareSignature { scheme: self.scheme, key, signature: self.stored().map_err(invalid)? })
    }

    /// Whether a key made it.
    #[expect(clippy::type_complexity, reason = "a check of a key")]
    fn check<'a>(&'a self, signed: &'a Signed<'_>) -> Result<Box<dyn Fn(&VerificationKey) -> bool + 'a>, String> {
        let FirmwareMetadata { device_model, component, version, .. } = signed.metadata;
        match self.scheme {
            SignatureScheme::Manifest => {
                let manifest = Manifest::new(device_model, component, version, signed.bytes.size, signed.bytes.sha256);
                let manifest = manifest.ok_or("model, component or version can't stand in a manifest")?;
                let signature = self.manifest_signature()?;
                Ok(Box::new(move |key| key.verifies(&manifest, &signature)))
            }
            SignatureScheme::Minisign => {
                let hash = signed.blake2b_512.ok_or("files of minisign are checked with the upload only")?;
                let signature: MinisignSignature = self.sig.parse().map_err(|error| format!("{error}"))?;
                Ok(Box::new(move |key| signature.is_by(key, &hash)))
            }
            SignatureScheme::CosignBundle => {
                let bundle = CosignBundle::parse(&self.sig).map_err(|error| error.to_string())?;
                Ok(Box::new(move |key| bundle.is_by(key, &signed.bytes.sha256)))
            }
        }
    }

    fn manifest_signature(&self) -> Result<Vec<u8>, String> {
        let bytes = STANDARD.decode(&self.sig).ok().filter(|bytes| bytes.len() == SIGNATURE_BYTES);
        bytes.ok_or_else(|| format!("sig is not base64 of {SIGNATURE_BYTES} bytes"))
    }

    /// What is kept of it.
    fn stored(&self) -> Result<String, String> {
        let bytes = match self.scheme {
            SignatureScheme::Manifest => self.manifest_signature()?,
            SignatureScheme::Minisign => {
                self.sig.parse::<MinisignSignature>().map_err(|error| error.to_string())?.signature().to_vec()
            }
            SignatureScheme::CosignBundle => {
                CosignBundle::parse(&self.sig).map_err(|error| error.to_string())?.signature().to_vec()
            }
        };
        Ok(STANDARD.encode(bytes))
    }
}

/// All signatures of a request, checked. `field` names them in refusals.
pub(super) fn checked(
    field: &str,
    requests: &[SignatureRequest],
    tenant: &Tenant,
    signed: &Signed<'_>,
) -> Result<Vec<FirmwareSignature>, Problem> {
    if requests.len() > SIGNATURES_MAX {
        return Err(Problem::invalid(field, format!("at most {SIGNATURES_MAX}")));
    }
    requests.iter().map(|request| request.checked(field, tenant, signed)).collect()
}

/// 409, since the signature may be by a key that is trusted later. It may also be of something else: the two can't be told apart.
pub(super) fn untrusted(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "signature_untrusted", detail)
}

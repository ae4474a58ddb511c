//! The public keys whose signatures of firmware a tenant trusts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::firmware::{KeyFingerprint, SignaturePolicy};
use crate::sealed::Sealed;

/// Most keys that a tenant trusts at a time.
pub const TRUSTED_KEYS_MAX: usize = 32;
/// Most different keys that must have signed a firmware.
pub const REQUIRED_SIGNATURES_MAX: u8 = 8;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// SubjectPublicKeyInfo in PEM.
    pub public_key: String,
    /// Whose it is, or where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Sealed<String>>,
}

/// All trusted keys of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedKeys(pub BTreeMap<KeyFingerprint, TrustedKey>);

impl TrustedKeys {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they and the number of required signatures ask of a firmware.
    pub fn policy(&self, required: u8) -> SignaturePolicy {
        SignaturePolicy { required, trusted: self.0.keys().copied().collect() }
    }
}

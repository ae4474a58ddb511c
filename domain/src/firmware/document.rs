//! Documents of a firmware: what it is made of (SBOM), which vulnerabilities concern it (VEX), and how it was built (provenance).
//!
//! The firmware knows digest, size and format of each. The bytes are in the object store. They are checked before the command is sent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::signature::{FirmwareSignature, KeyFingerprint, SignaturePolicy};
use crate::ids::{DocumentId, FirmwareId, TenantId};
use crate::values::Sha256Digest;

/// Most documents of one firmware.
pub const DOCUMENTS_MAX: usize = 32;

/// What a document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DocumentKind {
    /// The components that the firmware contains.
    Sbom,
    /// Whether vulnerabilities concern the firmware.
    Vex,
    /// Who built it and from what, signed.
    Provenance,
}

/// The standard that a document follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
pub enum DocumentFormat {
    #[serde(rename = "cyclonedx-1.4")]
    #[strum(serialize = "cyclonedx-1.4")]
    CycloneDx14,
    #[serde(rename = "cyclonedx-1.5")]
    #[strum(serialize = "cyclonedx-1.5")]
    CycloneDx15,
    #[serde(rename = "cyclonedx-1.6")]
    #[strum(serialize = "cyclonedx-1.6")]
    CycloneDx16,
    #[serde(rename = "spdx-2.3")]
    #[strum(serialize = "spdx-2.3")]
    Spdx23,
    #[serde(rename = "openvex")]
    #[strum(serialize = "openvex")]
    OpenVex,
    #[serde(rename = "csaf-2.0")]
    #[strum(serialize = "csaf-2.0")]
    Csaf20,
    #[serde(rename = "slsa-provenance-v0.2")]
    #[strum(serialize = "slsa-provenance-v0.2")]
    SlsaV02,
    #[serde(rename = "slsa-provenance-v1")]
    #[strum(serialize = "slsa-provenance-v1")]
    SlsaV1,
}

impl DocumentKind {
    pub fn word(self) -> &'static str {
        self.into()
    }
}

impl DocumentFormat {
    pub fn word(self) -> &'static str {
        self.into()
    }

    pub fn kind(self) -> DocumentKind {
        match self {
            Self::CycloneDx14 | Self::CycloneDx15 | Self::CycloneDx16 | Self::Spdx23 => DocumentKind::Sbom,
            Self::OpenVex | Self::Csaf20 => DocumentKind::Vex,
            Self::SlsaV02 | Self::SlsaV1 => DocumentKind::Provenance,
        }
    }
}

/// A document of a firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareDocument {
    pub id: DocumentId,
    pub format: DocumentFormat,
    /// Bytes.
    pub size: u64,
    pub sha256: Sha256Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The product of a VEX that is the firmware, if the sender named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The key that signed a provenance. Whether the key is trusted is decided when the firmware is to be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyFingerprint>,
}

impl FirmwareDocument {
    pub fn kind(&self) -> DocumentKind {
        self.format.kind()
    }

    /// Whether both have the same content, product and key.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.sha256, &self.product, self.key) == (other.sha256, &other.product, other.key)
    }
}

/// Name of a document's bytes in the object store. Each upload has its own name, so a removal never removes the bytes of another upload.
pub fn document_object_name(tenant: &TenantId, firmware: FirmwareId, document: DocumentId) -> String {
    format!("{tenant}/{firmware}/documents/{document}")
}

/// What a firmware lacks of the things that its tenant requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Signatures by trusted keys.
    Signatures,
    Sbom,
    /// A provenance by a trusted key.
    Provenance,
}

/// The documents that a tenant requires before a firmware is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentPolicy {
    pub sbom: bool,
    pub provenance: bool,
    /// Keys whose provenances count.
    pub trusted: BTreeSet<KeyFingerprint>,
}

/// What a tenant requires of a firmware before it is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirmwarePolicy {
    pub signatures: SignaturePolicy,
    pub documents: DocumentPolicy,
}

impl DocumentPolicy {
    fn lack(&self, documents: &[FirmwareDocument]) -> Option<Lack> {
        let has_sbom = || documents.iter().any(|document| document.kind() == DocumentKind::Sbom);
        let is_trusted = |document: &FirmwareDocument| document.key.is_some_and(|key| self.trusted.contains(&key));
        let has_provenance =
            || documents.iter().any(|document| document.kind() == DocumentKind::Provenance && is_trusted(document));
        match self {
            Self { sbom: true, .. } if !has_sbom() => Some(Lack::Sbom),
            Self { provenance: true, .. } if !has_provenance() => Some(Lack::Provenance),
            _ => None,
        }
    }
}

impl FirmwarePolicy {
    /// Why a firmware with these signatures and documents may not be installed.
    pub fn lack(&self, signatures: &[FirmwareSignature], documents: &[FirmwareDocument]) -> Option<Lack> {
        if self.signatures.refuses(signatures) { Some(Lack::Signatures) } else { self.documents.lack(documents) }
    }

    /// Whether every firmware may be installed.
    pub fn asks_nothing(&self) -> bool {
        self.signatures.required == 0 && !self.documents.sbom && !self.documents.provenance
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn document(format: DocumentFormat, key: Option<&str>) -> FirmwareDocument {
        FirmwareDocument {
            id: DocumentId(Uuid::from_u128(1)),
            format,
            size: 2,
            sha256: Sha256Digest::of(b"{}"),
            filename: None,
            product: None,
            key: key.map(|key| KeyFingerprint(Sha256Digest::of(key.as_bytes()))),
        }
    }

    #[test]
    fn a_firmware_lacks_documents_that_its_tenant_requires() {
        let trusted: BTreeSet<_> = [KeyFingerprint(Sha256Digest::of(b"one"))].into();
        let policy = |sbom, provenance| FirmwarePolicy {
            documents: DocumentPolicy { sbom, provenance, trusted: trusted.clone() },
            ..FirmwarePolicy::default()
        };
        let sbom = document(DocumentFormat::Spdx23, None);
        let (built, forged) =
            (document(DocumentFormat::SlsaV1, Some("one")), document(DocumentFormat::SlsaV02, Some("two")));
        let lack = |policy: FirmwarePolicy, documents: &[FirmwareDocument]| policy.lack(&[], documents);
        assert_eq!(lack(policy(false, false), &[]), None);
        assert_eq!(lack(policy(true, true), std::slice::from_ref(&built)), Some(Lack::Sbom));
        assert_eq!(lack(policy(true, true), &[sbom.clone(), forged]), Some(Lack::Provenance));
        assert_eq!(lack(policy(true, true), &[sbom, built]), None);
    }

    #[test]
    fn every_format_has_one_word_in_events_and_replies() {
        for format in DocumentFormat::VARIANTS {
            assert_eq!(serde_json::to_value(format).unwrap(), format.word());
        }
    }
}

//! A document in replies.

use domain::FirmwareId;
use domain::firmware::FirmwareDocument;
use serde::Serialize;
use utoipa::ToSchema;

/// A document of a firmware.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentBody {
    document_id: String,
    /// `sbom`, `vex` or `provenance`.
    kind: &'static str,
    /// `cyclonedx-1.4`, `cyclonedx-1.5`, `cyclonedx-1.6`, `spdx-2.3`, `openvex`, `csaf-2.0`, `slsa-provenance-v0.2` or `slsa-provenance-v1`.
    format: &'static str,
    /// Bytes
    size: u64,
    checksum_sha256: String,
    filename: Option<String>,
    /// Which of the products of a VEX the firmware is, if that was said with the upload.
    product: Option<String>,
    /// SHA-256 of the key that signed a provenance.
    key: Option<String>,
    /// Different components, or statements about the firmware. Only in the reply to the upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl From<&FirmwareDocument> for DocumentBody {
    fn from(document: &FirmwareDocument) -> Self {
        Self {
            document_id: document.id.to_string(),
            kind: document.kind().word(),
            format: document.format.word(),
            size: document.size,
            checksum_sha256: document.sha256.to_string(),
            filename: document.filename.clone(),
            product: document.product.clone(),
            key: document.key.map(|key| key.to_string()),
            entries: None,
            warnings: vec![],
        }
    }
}

impl DocumentBody {
    #[must_use]
    pub(super) fn with_entries(self, entries: Option<u64>, warnings: Vec<String>) -> Self {
        Self { entries, warnings, ..self }
    }
}

/// Path of a firmware's documents in the API.
pub(super) fn location(firmware: FirmwareId, document: &FirmwareDocument) -> String {
    format!("/api/v1/firmware/{firmware}/documents/{}", document.id)
}

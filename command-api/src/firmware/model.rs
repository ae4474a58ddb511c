//! The firmware in replies, from its aggregate or from the read model.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::firmware::{Firmware, FirmwareBytes, FirmwareMetadata, FirmwareStatus, RollbackNeed, object_name};
use domain::values::Sha256Digest;
use domain::version::FirmwareVersion;
use domain::{FirmwareId, TenantId};
use event_store::Origin;
use object_store::path::Path as ObjectPath;
use projections::firmware::FirmwareRow;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::encryption::ImageEncryptionBody;
use super::signatures::SignatureBody;
use crate::download::DownloadsBody;
use crate::http::Done;

/// One version for one device model and component.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FirmwareBody {
    pub(crate) firmware_id: String,
    /// `active`, `deprecated`, `withdrawn` or `deleted`.
    status: String,
    name: String,
    version: String,
    /// The version that devices report when they run it, if it differs from `version`.
    reported_version: Option<String>,
    device_model: String,
    component: String,
    update_type: String,
    manufacturer: Option<String>,
    changelog: Option<String>,
    hardware_versions: Vec<String>,
    min_hardware_version: Option<String>,
    max_hardware_version: Option<String>,
    /// Requirement on the version that runs before.
    requires_version: Option<String>,
    rollback_allowed: bool,
    requires_reboot: bool,
    is_beta: bool,
    is_security_update: bool,
    tags: BTreeMap<String, String>,
    encryption: Option<ImageEncryptionBody>,
    filename: Option<String>,
    /// Bytes
    file_size: u64,
    checksum_md5: String,
    checksum_sha1: String,
    checksum_sha256: String,
    /// Live campaigns that use it.
    pinned_by: Vec<String>,
    /// By keys that the tenant trusted when they came.
    signatures: Vec<SignatureBody>,
    /// Who uploaded it first.
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    /// Only in the reply to `GET` of one firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    downloads: Option<DownloadsBody>,
    /// Devices that could go back to it: it is deleted only with `force` while there are any. Only in the reply to `GET` of one firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_for_rollback: Option<RollbackNeedBody>,
    /// Warnings for its users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Devices that could go back to a firmware: an update brought them from it to what they run, or is about to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RollbackNeedBody {
    /// Counted up to 10,000.
    devices: u32,
    /// There are more.
    more: bool,
    /// Up to 20 campaigns whose rollback would need it.
    campaigns: Vec<String>,
}

impl FirmwareBody {
    /// After a command; none if it was never registered.
    pub(super) fn done(id: FirmwareId, done: &Done<Firmware>) -> Option<Self> {
        Self::of(id, &done.aggregate, done.origin.as_deref())
    }

    /// From the aggregate; none if it was never registered.
    pub(super) fn of(id: FirmwareId, firmware: &Firmware, origin: Option<&Origin>) -> Option<Self> {
        let created_at = origin.map(|origin| origin.at);
        let (metadata, bytes) = firmware.content.clone()?;
        let pinned_by = firmware.pinned_by.iter().map(ToString::to_string).collect();
        let signatures = firmware.signatures.iter().map(SignatureBody::from).collect();
        let body = Self::new(id.to_string(), firmware.status.word(), metadata, bytes, pinned_by, created_at);
        Some(Self { signatures, created_by: origin.map(|origin| origin.by.to_string()), ..body })
    }

    fn new(
        firmware_id: String,
        status: &str,
        metadata: FirmwareMetadata,
        bytes: FirmwareBytes,
        pinned_by: Vec<String>,
        created_at: Option<DateTime<Utc>>,
    ) -> Self {
        let warnings = warnings(status, &metadata.version);
        Self {
            firmware_id,
            status: status.to_owned(),
            name: metadata.name,
            version: metadata.version,
            reported_version: metadata.reported_version,
            device_model: metadata.device_model,
            component: metadata.component,
            update_type: metadata.update_type.word().to_owned(),
            manufacturer: metadata.manufacturer,
            changelog: metadata.changelog.and_then(|changelog| changelog.plain().cloned()),
            hardware_versions: metadata.hardware_versions,
            min_hardware_version: metadata.min_hardware_version,
            max_hardware_version: metadata.max_hardware_version,
            requires_version: metadata.requires_version,
            rollback_allowed: metadata.rollback_allowed,
            requires_reboot: metadata.requires_reboot,
            is_beta: metadata.is_beta,
            is_security_update: metadata.is_security_update,
            tags: metadata.tags,
            encryption: metadata.encryption.map(ImageEncryptionBody::from),
            filename: bytes.filename,
            file_size: bytes.size,
            checksum_md5: bytes.md5,
            checksum_sha1: bytes.sha1,
            checksum_sha256: bytes.sha256.to_string(),
            pinned_by,
            signatures: vec![],
            created_by: None,
            created_at,
            downloads: None,
            needed_for_rollback: None,
            warnings,
        }
    }

    #[must_use]
    pub(super) fn with_downloads(self, downloads: DownloadsBody) -> Self {
        Self { downloads: Some(downloads), ..self }
    }

    #[must_use]
    pub(super) fn with_rollback_need(self, RollbackNeed { devices, more, campaigns }: RollbackNeed) -> Self {
        let campaigns = campaigns.iter().map(ToString::to_string).collect();
        Self { needed_for_rollback: (devices > 0).then_some(RollbackNeedBody { devices, more, campaigns }), ..self }
    }
}

impl From<FirmwareRow> for FirmwareBody {
    fn from(row: FirmwareRow) -> Self {
        let pinned_by = row.pinned_by.into_iter().collect();
        let signatures = row.signatures.iter().map(SignatureBody::from).collect();
        let created_by = row.created_by;
        let body = Self::new(row.firmware_id, &row.status, row.metadata, row.bytes, pinned_by, Some(row.created_at));
        Self { signatures, created_by, ..body }
    }
}

/// Warnings for its users.
fn warnings(status: &str, version: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if status == FirmwareStatus::Deprecated.word() {
        warnings.push("the firmware is deprecated".to_owned());
    }
    if FirmwareVersion::parse(version).is_none() {
        warnings.push(format!(
            "the version {version:?} can't be compared with others: campaigns leave devices out as version_not_comparable, and single updates \
             are refused, unless allow_downgrade or force_update is set; a version such as 2.1.0 or 2.1.0+b7 can be compared"
        ));
    }
    warnings
}

/// Path of the bytes: by tenant and content.
pub(crate) fn object_path(tenant: &TenantId, id: &FirmwareId, sha256: &Sha256Digest) -> ObjectPath {
    ObjectPath::from(object_name(tenant, *id, sha256))
}

/// Where all bytes of a tenant are.
pub(crate) fn objects_of(tenant: &TenantId) -> ObjectPath {
    ObjectPath::from(tenant.as_str())
}

/// Path of an upload until it is validated. No tenant has this name.
pub(super) fn incoming_path(tenant: &TenantId, id: Uuid) -> ObjectPath {
    ObjectPath::from(format!("{INCOMING}/{tenant}/{id}"))
}

/// Path of unfinished uploads.
pub(super) const INCOMING: &str = "_incoming";

/// Path of a firmware in the API.
pub(super) fn location(id: FirmwareId) -> String {
    format!("/api/v1/firmware/{id}")
}

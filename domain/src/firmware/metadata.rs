//! What an operator says of a firmware, and its bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::encryption::ImageEncryption;
use crate::device::FirmwareSnapshot;
use crate::ids::FirmwareId;
use crate::sealed::Sealed;
use crate::values::Sha256Digest;
use crate::version::TargetVersion;

/// Kind of an upload.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum UpdateType {
    #[default]
    Firmware,
    Software,
    Application,
    Config,
    Bootloader,
    SecurityPatch,
}

impl UpdateType {
    /// The component that such an upload replaces by default.
    pub fn component(self) -> &'static str {
        match self {
            Self::Firmware | Self::SecurityPatch => "firmware",
            Self::Software => "software",
            Self::Application => "application",
            Self::Config => "config",
            Self::Bootloader => "bootloader",
        }
    }

    /// Whether a device restarts for it by default.
    pub fn requires_reboot(self) -> bool {
        !matches!(self, Self::Config | Self::Application)
    }
}

/// An operator's description of a firmware.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirmwareMetadata {
    pub name: String,
    pub version: String,
    /// What devices that run it report, if that differs from `version`. Compared with its build label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_version: Option<String>,
    pub device_model: String,
    pub component: String,
    pub update_type: UpdateType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<Sealed<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware_versions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_hardware_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hardware_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_version: Option<String>,
    pub rollback_allowed: bool,
    pub requires_reboot: bool,
    #[serde(default)]
    pub is_beta: bool,
    #[serde(default)]
    pub is_security_update: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<ImageEncryption>,
}

impl FirmwareMetadata {
    /// What a device reports when it runs this firmware.
    pub fn expected(&self) -> TargetVersion<'_> {
        TargetVersion { version: &self.version, reported_version: self.reported_version.as_deref() }
    }

    /// What devices need to know of the firmware, in any status.
    pub fn snapshot(&self, firmware_id: FirmwareId, bytes: &FirmwareBytes) -> FirmwareSnapshot {
        FirmwareSnapshot {
            firmware_id,
            device_model: self.device_model.clone(),
            component: self.component.clone(),
            version: self.version.clone(),
            reported_version: self.reported_version.clone(),
            size: bytes.size,
            sha256: bytes.sha256,
            hardware_versions: self.hardware_versions.clone(),
            min_hardware_version: self.min_hardware_version.clone(),
            max_hardware_version: self.max_hardware_version.clone(),
            requires_version: self.requires_version.clone(),
            requires_reboot: self.requires_reboot,
            rollback_allowed: self.rollback_allowed,
            encryption: self.encryption.clone(),
            lack: None,
        }
    }
}

/// Size and digests of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareBytes {
    pub size: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha1: String,
    pub sha256: Sha256Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

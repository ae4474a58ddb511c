//! What a device says, as commands and events keep it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::sealed::Sealed;
use crate::values::Sha256Digest;

/// Statuses that a device uses in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ReportStatus {
    Received,
    Deferred,
    Downloading,
    Verifying,
    Installing,
    Staged,
    Rebooting,
    Completed,
    Failed,
    Rejected,
    Cancelled,
    CancelRefused,
}

/// A device's report on an update. Progress isn't part of it: that goes to telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub ordinal: u32,
    pub attempt: u16,
    pub status: ReportStatus,
    pub sha256: Option<Sha256Digest>,
    pub code: Option<String>,
    pub message: Option<Sealed<String>>,
    pub retry_after_s: Option<u32>,
}

/// A device's `status` message while online.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    pub session: Option<String>,
    pub boot_id: Option<String>,
    pub versions: BTreeMap<String, String>,
    pub trial: bool,
    pub slot: Option<String>,
    /// What the device remembers of its last update. It replaces a lost report.
    pub last_update: Option<Report>,
}

/// What a device reports about itself after boot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Info {
    pub versions: BTreeMap<String, String>,
    pub hardware_version: Option<String>,
    pub slots: Option<u8>,
    pub contact_interval_s: Option<u32>,
    pub attributes: BTreeMap<String, String>,
}

/// Why a device went offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflineCause {
    /// The last will of its latest session arrived.
    Will,
    /// No message arrived for too long.
    Silence,
}

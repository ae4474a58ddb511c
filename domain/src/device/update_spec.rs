//! What an update is to do: the part that never changes.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::firmware::{ImageEncryption, Lack};
use crate::ids::{CampaignId, FirmwareId};
use crate::preconditions::Preconditions;
use crate::values::{Priority, Sha256Digest, Transport};
use crate::version::TargetVersion;

/// What a device needs to know of a firmware, copied from the Firmware aggregate when an update is requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareSnapshot {
    pub firmware_id: FirmwareId,
    pub device_model: String,
    pub component: String,
    pub version: String,
    /// What devices that run it report, if that differs from `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_version: Option<String>,
    /// Bytes.
    pub size: u64,
    pub sha256: Sha256Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware_versions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_hardware_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hardware_version: Option<String>,
    /// Requirement on the version that runs before the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_version: Option<String>,
    pub requires_reboot: bool,
    /// Whether devices that run it may go back.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub rollback_allowed: bool,
    /// How the image is encrypted for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<ImageEncryption>,
    /// What it lacks that the tenant asks for now. That may change at any time, so it is in no event, and each step that sends the firmware
    /// out judges it anew.
    #[serde(skip)]
    pub lack: Option<Lack>,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl FirmwareSnapshot {
    /// What a device reports when it runs this firmware.
    pub fn expected(&self) -> TargetVersion<'_> {
        TargetVersion { version: &self.version, reported_version: self.reported_version.as_deref() }
    }

    /// Whether a device that reports this version runs this firmware.
    pub fn is_run_by(&self, reported: &str) -> bool {
        self.expected().is_met_by(reported)
    }
}

/// Identifies an update, its attempt and its campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRef {
    pub ordinal: u32,
    /// 0 before the first dispatch.
    pub attempt: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
}

/// Position of a campaign's update in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignRef {
    pub id: CampaignId,
    /// From 1.
    pub wave: u16,
    /// Position in the campaign's order, from 0.
    pub rank: u32,
    /// How often the campaign had been retried.
    #[serde(default, skip_serializing_if = "is_first_round")]
    pub round: u16,
}

fn is_first_round(round: &u16) -> bool {
    *round == 0
}

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum UpdateKind {
    #[default]
    Update,
    Rollback,
}

/// Time limits of one update, in seconds. They are stored in `update.queued`, so a later change of defaults does not affect updates under
/// way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the grant to the device's first `received`.
    pub wait_s: u32,
    /// From the first `received` to the outcome, over all attempts.
    pub total_s: u32,
    /// From dispatch to `received`, before the device counts as unreachable.
    pub dispatch_s: u32,
    /// Longest silence while downloading.
    pub downloading_s: u32,
    /// Longest silence in each other working phase.
    pub phase_s: u32,
    /// From the first cancel command to `cancelled` when the device does not answer.
    pub cancel_s: u32,
    /// Pause before the second attempt; doubled for each further one.
    pub backoff_s: u32,
}

/// Longest pause between two attempts, in seconds.
pub const BACKOFF_MAX_S: u32 = 3_600;
/// Longest pause before a command is repeated to a device that never answers, and largest minimum of a deferral, in seconds.
pub(super) const PATIENCE_MAX_S: u32 = 6 * 3_600;

/// Shortest time from a command to a LoRaWAN device's answer before the device counts as unreachable, in seconds: a device of class A that
/// sends once an hour has two uplinks to get the command and answer, and one may be lost.
pub const LORAWAN_DISPATCH_MIN_S: u32 = 3 * 3_600;
/// Shortest silence limit of a LoRaWAN device outside of *downloading*, in seconds: while *accepted* it waits for others of its group (an hour
/// at most) and for ChirpStack, and after an installation it has to join again.
pub const LORAWAN_PHASE_MIN_S: u32 = 6 * 3_600;
/// The same while *downloading*, in seconds: the longest multicast session (9.1 hours), with its set-up, in which a device may say nothing.
pub const LORAWAN_DOWNLOADING_MIN_S: u32 = 24 * 3_600;
/// Shortest time for all attempts of a LoRaWAN device together, in seconds: three transfers of the longest kind.
pub const LORAWAN_TOTAL_MIN_S: u32 = 3 * 24 * 3_600;

impl Default for Limits {
    fn default() -> Self {
        Self {
            wait_s: 7 * 24 * 3_600,
            total_s: 3_600,
            dispatch_s: 120,
            downloading_s: 600,
            phase_s: 300,
            cancel_s: 300,
            backoff_s: 30,
        }
    }
}

impl Limits {
    /// Pause before the attempt after `failed_attempt`, in seconds.
    pub fn backoff_after(&self, failed_attempt: u16) -> u32 {
        let doublings = u32::from(failed_attempt.saturating_sub(1)).min(16);
        self.backoff_s.saturating_mul(1 << doublings).min(BACKOFF_MAX_S)
    }

    /// Pause before the dispatch that follows `unanswered` dispatches without an answer, in seconds. The first repetition has no pause.
    pub fn pause_after_unanswered(&self, unanswered: u16) -> u32 {
        match unanswered {
            0 | 1 => 0,
            more => self.dispatch_s.saturating_mul(1 << u32::from(more).min(16)).min(PATIENCE_MAX_S),
        }
    }

    /// With the limits that the transport needs at least. LoRaWAN devices hear commands only after their own uplinks, and their images come
    /// to a whole group at a few bytes per second.
    #[must_use]
    pub fn for_transport(mut self, transport: Transport) -> Self {
        match transport {
            Transport::Mqtt | Transport::Ddi => {}
            Transport::Lorawan => {
                self.dispatch_s = self.dispatch_s.max(LORAWAN_DISPATCH_MIN_S);
                self.phase_s = self.phase_s.max(LORAWAN_PHASE_MIN_S);
                self.downloading_s = self.downloading_s.max(LORAWAN_DOWNLOADING_MIN_S);
                self.cancel_s = self.cancel_s.max(LORAWAN_DISPATCH_MIN_S);
                self.total_s = self.total_s.max(LORAWAN_TOTAL_MIN_S);
            }
        }
        self
    }

    /// With every silence limit at least three contact intervals of the device.
    #[must_use]
    pub fn for_contact_interval(mut self, seconds: u32) -> Self {
        let least = seconds.saturating_mul(3);
        self.downloading_s = self.downloading_s.max(least);
        self.phase_s = self.phase_s.max(least);
        self.dispatch_s = self.dispatch_s.max(least);
        self
    }
}

/// The part of an update that never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateSpec {
    pub firmware: FirmwareSnapshot,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignRef>,
    pub priority: Priority,
    pub kind: UpdateKind,
    /// What the component ran when the update was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_firmware_id: Option<FirmwareId>,
    pub limits: Limits,
    pub max_attempts: u16,
    pub transport: Transport,
    /// Install and run at once; otherwise stop at `staged`.
    pub activate: bool,
    #[serde(default)]
    pub force_update: bool,
    #[serde(default)]
    pub allow_downgrade: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
    /// The update does not leave *verifying* before the device has reported the SHA-256 of what it received.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_digest_report: bool,
    /// Ordinal of the ended update that this one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<u32>,
    /// Ordinal of the update that a rollback undoes, if one brought the version that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<u32>,
}

/// Whether an update does not wait for another one between two attempts.
pub fn goes_first(kind: UpdateKind, priority: Priority) -> bool {
    kind == UpdateKind::Rollback || priority == Priority::Critical
}

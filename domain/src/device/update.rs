//! One update: bringing one firmware to a device, in one or more attempts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::mark::Mark;
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateKind {
    #[default]
    Update,
    Rollback,
    Activate,
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
    /// Ordinal of the ended update that this one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<u32>,
}

/// The reason why an update waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The device is not reachable over its transport.
    Offline,
    /// Another update of the device is live.
    Busy,
    /// Between two attempts.
    Backoff,
    /// The command was sent, but the device never answered.
    Unresponsive,
    /// Its campaign was paused before the device answered.
    Withdrawn,
    /// It continues as soon as a slot is granted.
    Slot,
    /// The device is held.
    Held,
    /// Its preconditions are not met, as far as is known.
    Precondition,
}

/// How an update ended. It never changes afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Confirmed,
    Failed,
    TimedOut,
    Rejected,
    Expired,
    Superseded,
    Cancelled,
}

/// Phase of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Queued,
    Waiting(WaitReason),
    Dispatched,
    Accepted,
    Deferred,
    Downloading,
    Verifying,
    Installing,
    Staged,
    Rebooting,
    Cancelling,
    Ended(Outcome),
}

impl Phase {
    /// Its name in events, rows and replies.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting(_) => "waiting",
            Self::Dispatched => "dispatched",
            Self::Accepted => "accepted",
            Self::Deferred => "deferred",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Installing => "installing",
            Self::Staged => "staged",
            Self::Rebooting => "rebooting",
            Self::Cancelling => "cancelling",
            Self::Ended(Outcome::Confirmed) => "confirmed",
            Self::Ended(Outcome::Failed) => "failed",
            Self::Ended(Outcome::TimedOut) => "timed_out",
            Self::Ended(Outcome::Rejected) => "rejected",
            Self::Ended(Outcome::Expired) => "expired",
            Self::Ended(Outcome::Superseded) => "superseded",
            Self::Ended(Outcome::Cancelled) => "cancelled",
        }
    }

    pub fn is_ended(self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Whether the update is in the queue: neither begun nor ended.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Waiting(_))
    }

    /// Whether the update has begun and not ended. A device has at most one such update.
    pub fn is_live(self) -> bool {
        !self.is_waiting() && !self.is_ended()
    }

    /// Whether the device has answered and is working: the working clock runs.
    pub fn is_working(self) -> bool {
        self.work_order().is_some()
    }

    /// Order of the working phases. A report never moves an attempt to an earlier phase.
    pub fn work_order(self) -> Option<u8> {
        match self {
            Self::Accepted => Some(0),
            Self::Downloading => Some(1),
            Self::Verifying => Some(2),
            Self::Installing => Some(3),
            Self::Rebooting => Some(4),
            Self::Queued
            | Self::Waiting(_)
            | Self::Dispatched
            | Self::Deferred
            | Self::Staged
            | Self::Cancelling
            | Self::Ended(_) => None,
        }
    }
}

/// The state of one update of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub ordinal: u32,
    pub spec: UpdateSpec,
    pub phase: Phase,
    /// 0 before the first dispatch.
    pub attempt: u16,
    /// Attempt of the next dispatch; equal to `attempt` while the current attempt has not failed.
    pub next_attempt: u16,
    /// The latest grant that was applied, so that a repeated one has no effect.
    pub grant: u64,
    pub image_failures: u16,
    /// End of the waiting clock.
    pub wait_until: DateTime<Utc>,
    /// The device has answered `received` at least once.
    pub reached: bool,
    /// Boot at the first `received` of this attempt.
    pub accepted_boot: Option<String>,
    /// Boot during which this attempt reached the point of no return.
    pub installing_boot: Option<String>,
    /// The device reported `completed` in this attempt.
    pub claimed: bool,
    /// There is evidence that the device has restarted since installing, or restarts now: its report, its last will, or a new session.
    pub restart_seen: bool,
    /// The latest session since installing, of a device that reports no boot ids.
    pub session: Option<String>,
    /// Deferrals so far.
    pub deferrals: u16,
    /// Duration that the device asked for in its latest deferral, in seconds.
    pub deferred_for_s: Option<u32>,
    /// The latest attempt that the device has answered, deferrals included.
    pub answered: u16,
    /// Consecutive dispatches without an answer.
    pub unanswered: u16,
    /// The latest attempt ended with wrong bytes, so the reported version alone is no proof.
    pub wrong_bytes: bool,
    /// The update that this one continues was dispatched to the device.
    pub told_before: bool,
    /// The device has refused to cancel this attempt.
    pub cancel_refused: bool,
    /// Aggregate version of its latest event.
    pub seq: u64,
    /// End of the pause before the next attempt, or of the deferral.
    pub not_before: Option<DateTime<Utc>>,
    /// Aggregate version of the event that last changed the command to the device.
    pub command_seq: u64,
    /// The phase before a cancel was sent.
    pub before_cancel: Option<Phase>,
    /// Why the update is or was cancelled, if it was not cancelled by a request for this update.
    pub cancel_reason: Option<String>,
    /// Statuses of reports that arrived after the end, or after newer ones.
    pub late: BTreeSet<String>,
    /// The newest message of the device that changed the update.
    pub newest_report: Option<Mark>,
}

impl Update {
    /// Whether it can no longer be taken back: it is installing, or the device has refused to cancel it.
    pub fn is_past_return(&self) -> bool {
        self.cancel_refused || matches!(self.phase, Phase::Installing | Phase::Rebooting)
    }
}

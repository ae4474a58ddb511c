//! Events of a campaign. Their rate is low: outcomes of devices are events of the devices.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::adjust::{Adjustments, Sample};
use super::spec::CampaignSpec;
use super::status::CampaignStatus;
use crate::actor::Person;
use crate::device::{Exclusion, FirmwareSnapshot};
use crate::ids::{Actor, CampaignId, DeviceId};
use crate::plan::{ExpectedPlan, PlanDrift};

/// Most devices that a gate names as evidence.
pub const EVIDENCE_DEVICES_MAX: usize = 20;

/// Evidence of a gate: counts at a position of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Position that the view had reached.
    pub position: u64,
    pub enrolled: u32,
    pub reached: u32,
    pub settled: u32,
    pub confirmed: u32,
    pub failed: u32,
    /// Devices that have staged the version and do not run it yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub staged: u32,
    /// Failed devices, the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceId>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Which gate judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GateKind {
    Failure,
    Success,
    TooFewReached,
    /// Too many rollbacks failed.
    Rollback,
}

/// Whether a closed gate begins a rollback (`auto_rollback`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateRollback {
    NotWanted,
    /// Wanted and not possible: the firmware doesn't allow it. In older events: rollbacks did not exist yet.
    NotAvailable,
    Begun,
}

/// Who began a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackCause {
    Operator,
    Gate,
}

/// How a rollback ended: devices, counted at a position of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackEvidence {
    pub position: u64,
    pub rolled_back: u32,
    pub failed: u32,
    /// Could go back and did not come in time.
    pub unreached: u32,
    /// Devices that can't go back, by [`RollbackObstacle`](crate::rollback::RollbackObstacle).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub impossible: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseCause {
    Operator,
    Gate,
    FirmwareWithdrawn,
}

/// Result of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignResult {
    Completed,
    CompletedWithFailures,
    Failed,
}

/// Summary of a plan. It commits the plan's chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    pub plan: Uuid,
    pub chunks: u32,
    /// Devices that take part.
    pub devices: u32,
    /// Excluded devices, by reason.
    pub excluded: BTreeMap<Exclusion, u32>,
    /// Devices of each wave, in order.
    pub waves: Vec<u32>,
    pub seed: String,
    pub algorithm: String,
    /// Position of the log at which the devices were read.
    pub at_position: u64,
    /// SHA-256 over the digest of the specification and all entries in order, hex. Of the entries alone in older events.
    pub plan_hash: String,
    /// Present if it is not the plan that the start named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Box<PlanDrift>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum CampaignEvent {
    #[serde(rename = "campaign.created")]
    Created { id: CampaignId, spec: Box<CampaignSpec> },
    #[serde(rename = "campaign.amended")]
    Amended {
        spec: Box<CampaignSpec>,
        /// The editor. Absent in older events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
    },
    /// It waits for the decision of an approver.
    #[serde(rename = "campaign.approval_requested")]
    ApprovalRequested {
        /// Present if the start named the plan that it expects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Box<ExpectedPlan>>,
    },
    #[serde(rename = "campaign.approved")]
    Approved { by: Person },
    #[serde(rename = "campaign.rejected")]
    Rejected { by: Person },
    /// It starts by itself at this time.
    #[serde(rename = "campaign.scheduled")]
    Scheduled {
        at: DateTime<Utc>,
        /// Present if the start named the plan that it expects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Box<ExpectedPlan>>,
    },
    /// New values for a running campaign.
    #[serde(rename = "campaign.adjusted")]
    Adjusted {
        changes: Box<Adjustments>,
        /// Present if devices joined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample: Option<Sample>,
    },
    #[serde(rename = "campaign.deleted")]
    Deleted {},
    #[serde(rename = "campaign.planning_started")]
    PlanningStarted {
        plan: Uuid,
        firmware: Box<FirmwareSnapshot>,
        /// When the campaign ends: from the specification, or the default. Absent in older events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_at: Option<DateTime<Utc>>,
        /// Present if the start named the plan that it expects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Box<ExpectedPlan>>,
    },
    #[serde(rename = "campaign.planned")]
    Planned { summary: Box<PlanSummary> },
    /// The plan is not the one that the start named, so nothing begins. The chunks of this plan are not written.
    #[serde(rename = "campaign.plan_refused")]
    PlanRefused {
        summary: Box<PlanSummary>,
        /// The campaign waits for an operator: a draft, or approved.
        returns_to: CampaignStatus,
    },
    #[serde(rename = "campaign.started")]
    Started {},
    /// Enough devices have staged the version: they may activate it, in waves.
    #[serde(rename = "campaign.staged")]
    Staged { evidence: Evidence },
    #[serde(rename = "campaign.wave_opened")]
    WaveOpened {
        wave: u16,
        manual: bool,
        /// An operator opened it before the wave before it was completed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
    },
    /// The success gate of a wave passed; its soak begins.
    #[serde(rename = "campaign.gate_passed")]
    GatePassed { wave: u16, evidence: Evidence, soak_minutes: u32 },
    /// A regression broke the gate while soaking.
    #[serde(rename = "campaign.soak_broken")]
    SoakBroken { wave: u16, evidence: Evidence },
    #[serde(rename = "campaign.wave_completed")]
    WaveCompleted { wave: u16, evidence: Evidence },
    #[serde(rename = "campaign.gate_closed")]
    GateClosed {
        gate: GateKind,
        /// Absent when the whole campaign was judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wave: Option<u16>,
        threshold_percent: u8,
        evidence: Evidence,
        rollback: GateRollback,
    },
    #[serde(rename = "campaign.paused")]
    Paused { cause: PauseCause },
    #[serde(rename = "campaign.resumed")]
    Resumed { accept_failures: bool },
    /// Devices that have failed or expired may begin again, each with a new update.
    #[serde(rename = "campaign.retried")]
    Retried {
        /// Counts from 1.
        round: u16,
        /// A new end, if the old one had passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends_at: Option<DateTime<Utc>>,
    },
    #[serde(rename = "campaign.cancelling")]
    Cancelling {},
    #[serde(rename = "campaign.cancelled")]
    Cancelled {},
    #[serde(rename = "campaign.rolling_back")]
    RollingBack {
        cause: RollbackCause,
        /// Round of the updates that take devices back; rises with each retry and each rollback.
        round: u16,
    },
    #[serde(rename = "campaign.rolled_back")]
    RolledBack { evidence: RollbackEvidence },
    #[serde(rename = "campaign.finished")]
    Finished { result: CampaignResult, evidence: Evidence },
}

crate::event_types!(CampaignEvent {
    Created => "campaign.created" v 1,
    Amended => "campaign.amended" v 1,
    ApprovalRequested => "campaign.approval_requested" v 1,
    Approved => "campaign.approved" v 1,
    Rejected => "campaign.rejected" v 1,
    Scheduled => "campaign.scheduled" v 1,
    Adjusted => "campaign.adjusted" v 1,
    Deleted => "campaign.deleted" v 1,
    PlanningStarted => "campaign.planning_started" v 1,
    Planned => "campaign.planned" v 1,
    PlanRefused => "campaign.plan_refused" v 1,
    Started => "campaign.started" v 1,
    Staged => "campaign.staged" v 1,
    WaveOpened => "campaign.wave_opened" v 1,
    GatePassed => "campaign.gate_passed" v 1,
    SoakBroken => "campaign.soak_broken" v 1,
    WaveCompleted => "campaign.wave_completed" v 1,
    GateClosed => "campaign.gate_closed" v 1,
    Paused => "campaign.paused" v 1,
    Resumed => "campaign.resumed" v 1,
    Retried => "campaign.retried" v 1,
    Cancelling => "campaign.cancelling" v 1,
    Cancelled => "campaign.cancelled" v 1,
    RollingBack => "campaign.rolling_back" v 1,
    RolledBack => "campaign.rolled_back" v 1,
    Finished => "campaign.finished" v 1,
});

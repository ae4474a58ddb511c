//! Commands of a campaign, from operators and process managers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::adjust::Adjustments;
use super::allowed::OperatorCommand;
use super::events::{CampaignResult, Evidence, GateKind, PauseCause, PlanSummary, RollbackCause, RollbackEvidence};
use super::spec::CampaignSpec;
use crate::actor::Person;
use crate::device::FirmwareSnapshot;
use crate::ids::Actor;
use crate::ids::CampaignId;
use crate::plan::ExpectedPlan;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum CampaignCommand {
    Create {
        id: CampaignId,
        spec: Box<CampaignSpec>,
    },
    /// Replaces the specification; only before planning. It voids an approval.
    Amend {
        spec: Box<CampaignSpec>,
        by: Actor,
    },
    /// New values for a running campaign.
    Adjust {
        changes: Box<Adjustments>,
    },
    Delete,
    /// The next step towards the start: asks for the approval, waits for the scheduled start, or starts.
    Start {
        plan: Uuid,
        firmware: Box<FirmwareSnapshot>,
        /// The plan that the sender has seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Box<ExpectedPlan>>,
    },
    /// Starts without waiting for the scheduled start.
    StartNow {
        plan: Uuid,
        firmware: Box<FirmwareSnapshot>,
        /// The plan that the sender has seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Box<ExpectedPlan>>,
    },
    /// Only a person can approve.
    Approve {
        by: Person,
        /// The sender of the command that created the campaign.
        creator: Actor,
    },
    Reject {
        by: Person,
        /// The sender of the command that created the campaign.
        creator: Actor,
    },
    RecordPlan {
        summary: Box<PlanSummary>,
    },
    /// The plan is not the one that the start expects.
    RefusePlan {
        summary: Box<PlanSummary>,
    },
    /// Enough devices have staged the version.
    CompleteStaging {
        evidence: Evidence,
    },
    PassGate {
        wave: u16,
        evidence: Evidence,
    },
    BreakSoak {
        wave: u16,
        evidence: Evidence,
    },
    /// The soak is over and the gate still holds.
    CompleteWave {
        wave: u16,
        evidence: Evidence,
    },
    OpenWave {
        wave: u16,
        /// Open it although the wave before is not completed: its gate is undecided, or it soaks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    CloseGate {
        gate: GateKind,
        wave: Option<u16>,
        threshold_percent: u8,
        evidence: Evidence,
    },
    Pause {
        cause: PauseCause,
    },
    Resume {
        accept_failures: bool,
    },
    /// Lets failed and expired devices begin again. An ended campaign continues with them.
    Retry,
    Cancel,
    FinishCancel,
    /// Devices that run the campaign's version because of it go back. What still waits or works is cancelled.
    RollBack {
        cause: RollbackCause,
    },
    FinishRollback {
        evidence: RollbackEvidence,
    },
    Finish {
        result: CampaignResult,
        evidence: Evidence,
    },
}

impl CampaignCommand {
    /// The word in "a campaign that is … can't be …".
    pub(super) fn participle(&self) -> &'static str {
        use OperatorCommand as O;
        match self {
            Self::Create { .. } => "created",
            Self::Amend { .. } => O::Amend.participle(),
            Self::Adjust { .. } => O::Adjust.participle(),
            Self::Delete => O::Delete.participle(),
            Self::Start { .. } | Self::StartNow { .. } => O::Start.participle(),
            Self::Approve { .. } => O::Approve.participle(),
            Self::Reject { .. } => O::Reject.participle(),
            Self::RecordPlan { .. } | Self::RefusePlan { .. } => "planned",
            Self::PassGate { .. } | Self::CloseGate { .. } => "judged",
            Self::BreakSoak { .. } => "soaked again",
            Self::CompleteStaging { .. } | Self::CompleteWave { .. } | Self::OpenWave { .. } => {
                O::OpenWave.participle()
            }
            Self::Pause { .. } => O::Pause.participle(),
            Self::Resume { .. } => O::Resume.participle(),
            Self::Retry => O::Retry.participle(),
            Self::Cancel | Self::FinishCancel => O::Cancel.participle(),
            Self::RollBack { .. } | Self::FinishRollback { .. } => O::RollBack.participle(),
            Self::Finish { .. } => "finished",
        }
    }
}

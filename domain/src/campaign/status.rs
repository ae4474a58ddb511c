//! The states of a campaign, and their names in rows and replies.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// State of a campaign.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CampaignStatus {
    #[default]
    Absent,
    Draft,
    /// It was submitted and waits for the decision of an approver.
    AwaitingApproval,
    Approved,
    Rejected,
    Deleted,
    /// It starts by itself at its `scheduled_start`.
    Scheduled,
    Planning,
    Running,
    Paused,
    Cancelling,
    Cancelled,
    /// Its devices go back to what they ran before.
    RollingBack,
    RolledBack,
    Completed,
    CompletedWithFailures,
    Failed,
}

impl CampaignStatus {
    /// Whether no further state follows.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Deleted
            | Self::Cancelled
            | Self::RolledBack
            | Self::Completed
            | Self::CompletedWithFailures
            | Self::Failed => true,
            Self::Absent
            | Self::Draft
            | Self::AwaitingApproval
            | Self::Approved
            | Self::Rejected
            | Self::Scheduled
            | Self::Planning
            | Self::Running
            | Self::Paused
            | Self::Cancelling
            | Self::RollingBack => false,
        }
    }

    /// Whether an operator has yet to start it: its specification may change, and it pins nothing.
    pub fn is_unstarted(self) -> bool {
        matches!(self, Self::Draft | Self::AwaitingApproval | Self::Approved | Self::Rejected)
    }

    /// Whether it is under way, or starts by itself, and pins its firmware.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Scheduled | Self::Planning | Self::Running | Self::Paused | Self::Cancelling | Self::RollingBack
        )
    }
}

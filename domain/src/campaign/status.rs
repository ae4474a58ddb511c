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
    Deleted,
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
            | Self::Planning
            | Self::Running
            | Self::Paused
            | Self::Cancelling
            | Self::RollingBack => false,
        }
    }

    /// Whether it is under way and pins its firmware.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Planning | Self::Running | Self::Paused | Self::Cancelling | Self::RollingBack)
    }
}

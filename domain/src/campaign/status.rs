//! The states of a campaign, and their names in rows and replies.

use serde::{Deserialize, Serialize};

/// State of a campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    Completed,
    CompletedWithFailures,
    Failed,
}

impl CampaignStatus {
    pub const ALL: [Self; 11] = [
        Self::Absent,
        Self::Draft,
        Self::Deleted,
        Self::Planning,
        Self::Running,
        Self::Paused,
        Self::Cancelling,
        Self::Cancelled,
        Self::Completed,
        Self::CompletedWithFailures,
        Self::Failed,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Draft => "draft",
            Self::Deleted => "deleted",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::CompletedWithFailures => "completed_with_failures",
            Self::Failed => "failed",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether no further state follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Deleted | Self::Cancelled | Self::Completed | Self::CompletedWithFailures | Self::Failed)
    }

    /// Whether it is under way and pins its firmware.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Planning | Self::Running | Self::Paused | Self::Cancelling)
    }
}

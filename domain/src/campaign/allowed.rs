//! Which commands of operators a campaign takes in its state, for replies and consoles. A test compares this table with the decisions.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::CampaignStatus;

/// A command of an operator on a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OperatorCommand {
    Amend,
    Adjust,
    Delete,
    Start,
    StartNow,
    Approve,
    Reject,
    OpenWave,
    Pause,
    Resume,
    Retry,
    Cancel,
    RollBack,
}

impl CampaignStatus {
    /// Commands that would change a campaign in this state. Other facts may still refuse one: the caller, a gate, a field. `planned`: whether
    /// it has a plan. `goes_back`: whether its devices go back, also while that is paused.
    pub fn allowed_commands(self, planned: bool, goes_back: bool) -> Vec<OperatorCommand> {
        use OperatorCommand as C;
        let all: &[OperatorCommand] = match self {
            Self::Absent | Self::Deleted => &[],
            Self::Cancelling | Self::Cancelled | Self::RolledBack | Self::Completed => &[C::RollBack],
            Self::Draft | Self::Rejected => &[C::Amend, C::Delete, C::Start, C::StartNow, C::Cancel],
            Self::AwaitingApproval => &[C::Amend, C::Delete, C::Approve, C::Reject, C::Cancel],
            Self::Approved => &[C::Amend, C::Delete, C::Start, C::StartNow, C::Reject, C::Cancel],
            Self::Scheduled => &[C::Amend, C::StartNow, C::Pause, C::Cancel],
            Self::Planning => &[C::Pause, C::Cancel],
            Self::Running => &[C::Adjust, C::OpenWave, C::Pause, C::Retry, C::Cancel, C::RollBack],
            Self::Paused => &[C::Adjust, C::Resume, C::Retry, C::Cancel, C::RollBack],
            Self::RollingBack => &[C::Adjust, C::Pause, C::Cancel],
            Self::CompletedWithFailures | Self::Failed => &[C::Retry, C::RollBack],
        };
        let needs_plan = |command: &C| matches!(command, C::Adjust | C::OpenWave | C::Retry | C::RollBack);
        let begins_again = |command: &C| matches!(command, C::Retry | C::RollBack);
        let fits = |command: &C| (planned || !needs_plan(command)) && !(goes_back && begins_again(command));
        all.iter().copied().filter(fits).collect()
    }
}

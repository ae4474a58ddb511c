//! Which commands of operators a campaign takes in its state, for replies and consoles. A test compares this table with the decisions.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::CampaignStatus;
use crate::rejection::{Refusal, Rejection};

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

impl OperatorCommand {
    /// For sentences: a campaign can't be *started*.
    pub(super) fn participle(self) -> &'static str {
        match self {
            Self::Amend => "amended",
            Self::Adjust => "adjusted",
            Self::Delete => "deleted",
            Self::Start | Self::StartNow => "started",
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::OpenWave => "advanced",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Retry => "retried",
            Self::Cancel => "cancelled",
            Self::RollBack => "rolled back",
        }
    }
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
        all.iter().copied().filter(|command| command.obstacle(planned, goes_back).is_none()).collect()
    }

    /// The other commands, and why each would be refused or change nothing. `planned` and `goes_back` as in [`Self::allowed_commands`].
    pub fn refused_commands(self, planned: bool, goes_back: bool) -> Vec<(OperatorCommand, Refusal)> {
        let allowed = self.allowed_commands(planned, goes_back);
        let refusal = |command: OperatorCommand| {
            if self.has_done(command) {
                let detail = format!("nothing would change: the campaign is {}", self.word());
                return (command, Refusal::new("changes_nothing", detail));
            }
            let obstacle = command.obstacle(planned, goes_back).filter(|_| self == Self::Paused).unwrap_or_default();
            let status = format!("{}{obstacle}", self.word());
            let rejection = Rejection::IllegalInState { command: command.participle().to_owned(), status };
            (command, rejection.into())
        };
        OperatorCommand::all().filter(|command| !allowed.contains(command)).map(refusal).collect()
    }

    /// Whether the command is accepted in this state without an effect.
    fn has_done(self, command: OperatorCommand) -> bool {
        use OperatorCommand as C;
        match command {
            C::Start => matches!(self, Self::AwaitingApproval | Self::Scheduled | Self::Planning),
            C::StartNow => matches!(self, Self::AwaitingApproval | Self::Planning),
            C::Approve => self == Self::Approved,
            C::Reject => self == Self::Rejected,
            C::Pause => self == Self::Paused,
            C::Resume => matches!(self, Self::Running | Self::RollingBack),
            C::Cancel => matches!(self, Self::Cancelling | Self::Cancelled),
            C::RollBack => self == Self::RollingBack,
            C::Amend | C::Adjust | C::Delete | C::OpenWave | C::Retry => false,
        }
    }
}

impl OperatorCommand {
    /// What else than the state is in its way.
    fn obstacle(self, planned: bool, goes_back: bool) -> Option<&'static str> {
        match self {
            Self::Retry | Self::RollBack if goes_back => Some(" while its devices go back"),
            Self::Adjust | Self::OpenWave | Self::Retry | Self::RollBack if !planned => Some(" without a plan"),
            _ => None,
        }
    }
}

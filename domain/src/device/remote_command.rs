//! Commands of operators that a device runs beside its updates, such as `reboot`: what is asked for, what is reported, and how far one can
//! come. Their order is in [`super::command_queue`].

mod wanted;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::sealed::Sealed;

pub use wanted::{
    COMMAND_EXPIRY_DEFAULT_S, COMMAND_EXPIRY_MAX_S, COMMAND_NAME_MAX_BYTES, COMMAND_PARAMS_MAX_BYTES, WantedCommand,
};

/// How long a device may work on a command that it has accepted, in seconds.
pub const COMMAND_WORK_S: u32 = 3_600;
/// The command that a new boot ends.
pub const COMMAND_REBOOT: &str = "reboot";

/// Parameters or result of a command: a JSON object. They are free text as far as the rules are concerned.
pub type CommandData = Sealed<Map<String, Value>>;

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CommandState {
    /// It waits for the device, or for the commands before it.
    Queued,
    /// The device is told.
    Sent,
    /// The device works on it.
    Accepted,
    Done,
    Failed,
    /// The device does not run it.
    Refused,
    /// The device did not answer in time.
    Expired,
    Cancelled,
}

impl CommandState {
    pub fn is_ended(self) -> bool {
        match self {
            Self::Queued | Self::Sent | Self::Accepted => false,
            Self::Done | Self::Failed | Self::Refused | Self::Expired | Self::Cancelled => true,
        }
    }

    /// The device has it, or may have it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Sent | Self::Accepted)
    }
}

/// Statuses that a device reports on a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CommandReportStatus {
    Accepted,
    Done,
    Failed,
    Refused,
}

impl CommandReportStatus {
    /// The state that it leads to.
    pub fn state(self) -> CommandState {
        match self {
            Self::Accepted => CommandState::Accepted,
            Self::Done => CommandState::Done,
            Self::Failed => CommandState::Failed,
            Self::Refused => CommandState::Refused,
        }
    }
}

/// A device's report on a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandReport {
    pub n: u32,
    pub status: CommandReportStatus,
    pub code: Option<String>,
    pub message: Option<Sealed<String>>,
    pub result: Option<CommandData>,
}

//! The commands that a device runs beside its updates, as its events left them.
//!
//! Invariants: at most [`COMMANDS_OPEN_MAX`] have not ended; at most one of them is sent or accepted; a number is never used again.

mod decide;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::events::DeviceEvent as E;
use super::remote_command::{CommandData, CommandState};

/// Most commands of a device that have not ended.
pub const COMMANDS_OPEN_MAX: usize = 8;
/// Ended commands that are kept in the state, for late reports.
pub const COMMANDS_ENDED_KEPT_MAX: usize = 16;

/// A command of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteCommand {
    pub n: u32,
    pub name: String,
    /// Dropped when the command has ended.
    pub params: Option<CommandData>,
    pub state: CommandState,
    /// It ends then, unless the device has accepted it.
    pub expires_at: DateTime<Utc>,
    /// Once it is accepted: it ends then.
    pub work_until: Option<DateTime<Utc>>,
    /// The boot in which the device accepted it, if known.
    pub accepted_boot: Option<String>,
    /// The device has reported another end, after this one.
    pub is_contradicted: bool,
}

/// The commands of a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RemoteCommands {
    /// By number: all that have not ended, and the latest that have.
    known: BTreeMap<u32, RemoteCommand>,
    /// The highest number so far; 0 if the device never had a command.
    pub last_n: u32,
}

impl RemoteCommands {
    pub fn get(&self, n: u32) -> Option<&RemoteCommand> {
        self.known.get(&n)
    }

    /// Those that have not ended, the oldest first.
    pub fn open(&self) -> impl Iterator<Item = &RemoteCommand> {
        self.known.values().filter(|command| !command.state.is_ended())
    }

    /// The one that the device has, or is told to run.
    pub fn under_way(&self) -> Option<&RemoteCommand> {
        self.known.values().find(|command| command.state.is_under_way())
    }

    /// Applies an event of a command; others change nothing.
    pub(super) fn apply(&mut self, event: &E) {
        if let E::CommandQueued { n, name, params, expires_at, .. } = event {
            self.last_n = self.last_n.max(*n);
            let command = RemoteCommand {
                n: *n,
                name: name.clone(),
                params: params.clone(),
                state: CommandState::Queued,
                expires_at: *expires_at,
                work_until: None,
                accepted_boot: None,
                is_contradicted: false,
            };
            self.known.insert(*n, command);
        }
        let Some(command) = event.remote_command().and_then(|n| self.known.get_mut(&n)) else { return };
        if let Some(state) = event.command_state() {
            command.state = state;
        }
        if let E::CommandAccepted { boot_id, work_until, .. } = event {
            command.accepted_boot.clone_from(boot_id);
            command.work_until = Some(*work_until);
        }
        command.is_contradicted |= matches!(event, E::CommandReportedLate { .. });
        if command.state.is_ended() {
            command.params = None;
            self.forget_old_ended();
        }
    }

    fn forget_old_ended(&mut self) {
        let ended = |command: &&RemoteCommand| command.state.is_ended();
        while self.known.values().filter(ended).count() > COMMANDS_ENDED_KEPT_MAX {
            let oldest = self.known.values().find(ended).map(|command| command.n);
            oldest.map(|n| self.known.remove(&n));
        }
    }
}

impl E {
    /// Number of the command that the event is about.
    pub fn remote_command(&self) -> Option<u32> {
        match self {
            Self::CommandQueued { n, .. }
            | Self::CommandSent { n }
            | Self::CommandAccepted { n, .. }
            | Self::CommandDone { n, .. }
            | Self::CommandFailed { n, .. }
            | Self::CommandRefused { n, .. }
            | Self::CommandExpired { n }
            | Self::CommandCancelled { n, .. }
            | Self::CommandReportedLate { n, .. } => Some(*n),
            _ => None,
        }
    }

    /// The state that its command has after the event; none if the event doesn't change it.
    pub fn command_state(&self) -> Option<CommandState> {
        use CommandState as S;
        match self {
            Self::CommandQueued { .. } => Some(S::Queued),
            Self::CommandSent { .. } => Some(S::Sent),
            Self::CommandAccepted { .. } => Some(S::Accepted),
            Self::CommandDone { .. } => Some(S::Done),
            Self::CommandFailed { .. } => Some(S::Failed),
            Self::CommandRefused { .. } => Some(S::Refused),
            Self::CommandExpired { .. } => Some(S::Expired),
            Self::CommandCancelled { .. } => Some(S::Cancelled),
            _ => None,
        }
    }
}

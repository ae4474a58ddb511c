//! The commands of operators that are allowed for an update or a device in its state, shown in replies. A test compares them with `decide`.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Lifecycle;
use super::phase::{Outcome, Phase};
use super::progress::UpdateState;
use super::report::past_return;
use crate::rejection::{Refusal, Rejection};
use crate::values::Transport;

/// A command of an operator on an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum UpdateOperation {
    Cancel,
    Retry,
}

/// A command of an operator on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeviceOperation {
    Amend,
    Decommission,
    Hold,
    Release,
    Update,
    RollBack,
    Command,
}

impl UpdateState {
    /// Commands that would change the update. Other facts may still refuse one: the caller, its device, its firmware.
    pub fn allowed_commands(&self) -> Vec<UpdateOperation> {
        UpdateOperation::all().filter(|command| self.refusal(*command).is_none()).collect()
    }

    /// The other commands, and why each would be refused or change nothing.
    pub fn refused_commands(&self) -> Vec<(UpdateOperation, Refusal)> {
        UpdateOperation::all().filter_map(|command| Some((command, self.refusal(command)?))).collect()
    }

    fn refusal(&self, command: UpdateOperation) -> Option<Refusal> {
        let phase = || self.phase.word().to_owned();
        let rejection = match (command, self.phase) {
            (_, Phase::Ended(Outcome::Confirmed)) => Rejection::UpdateSucceeded,
            (UpdateOperation::Retry, Phase::Ended(_)) => return None,
            (UpdateOperation::Retry, _) => Rejection::UpdateNotEnded { phase: phase() },
            (UpdateOperation::Cancel, Phase::Ended(_)) => Rejection::UpdateEnded { phase: phase() },
            (UpdateOperation::Cancel, Phase::Cancelling) => {
                return Some(Refusal::new("update_cancelling", "the update is being cancelled already"));
            }
            (UpdateOperation::Cancel, now) if past_return(now) || self.lacks_digest() => {
                Rejection::CancelTooLate { phase: phase() }
            }
            (UpdateOperation::Cancel, _) => return None,
        };
        Some(rejection.into())
    }
}

/// Commands that would change a device. Other facts may still refuse one.
pub fn allowed_commands(lifecycle: Lifecycle, transport: Transport, held: bool) -> Vec<DeviceOperation> {
    DeviceOperation::all().filter(|command| refusal(*command, lifecycle, transport, held).is_none()).collect()
}

/// The other commands, and why each would be refused or change nothing.
pub fn refused_commands(lifecycle: Lifecycle, transport: Transport, held: bool) -> Vec<(DeviceOperation, Refusal)> {
    let refused = |command| Some((command, refusal(command, lifecycle, transport, held)?));
    DeviceOperation::all().filter_map(refused).collect()
}

fn refusal(command: DeviceOperation, lifecycle: Lifecycle, transport: Transport, held: bool) -> Option<Refusal> {
    use DeviceOperation as O;
    let rejection = match (lifecycle, command) {
        (Lifecycle::Absent, _) => Rejection::DeviceUnknown,
        (Lifecycle::Decommissioned, _) => Rejection::DeviceDecommissioned,
        (Lifecycle::Active, O::Release) if !held => return Some(Refusal::new("not_held", "the device is not held")),
        (Lifecycle::Active, O::Update | O::RollBack) if held => {
            return Some(Refusal::new("held", "the device is held: release it first"));
        }
        (Lifecycle::Active, O::Command) if transport != Transport::Mqtt => {
            Rejection::CommandsNeedMqtt { transport: transport.word().to_owned() }
        }
        (Lifecycle::Active, _) => return None,
    };
    Some(rejection.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decider;
    use crate::device::tests::*;
    use crate::device::{DeviceCommand, ReportStatus as S, WantedCommand};

    #[test]
    fn an_update_can_be_cancelled_as_long_as_its_device_can_drop_it() {
        let words = [S::Received, S::Downloading, S::Verifying, S::Installing, S::Rebooting];
        let pasts = words.map(working).into_iter().chain([
            registered(),
            dispatched(),
            [working(S::Downloading), vec![cancel(1)]].concat(),
            [working(S::Downloading), vec![cancel(1), says(S::Cancelled)]].concat(),
            [working(S::Verifying), vec![fails(1, "unsupported")]].concat(),
            [working(S::Installing), vec![status("b2", "2.0.0")]].concat(),
        ]);
        for past in pasts {
            let device = state_of(&past);
            let Some(update) = device.update(1) else { continue };
            let events = device.decide(at(0), &cancel(1)).map(|events| events.len());
            let allowed = update.allowed_commands().contains(&UpdateOperation::Cancel);
            assert_eq!(allowed, matches!(events, Ok(1..)), "while {:?}", update.phase);
            if let Err(rejection) = events {
                let refused =
                    update.refused_commands().into_iter().find(|(command, _)| *command == UpdateOperation::Cancel);
                assert_eq!(refused.map(|(_, why)| why), Some(rejection.into()), "while {:?}", update.phase);
            }
        }
    }

    #[test]
    fn only_a_device_on_mqtt_can_be_given_a_command() {
        let wanted = WantedCommand { name: "report".to_owned(), params: serde_json::Map::new(), expires_in_s: 60 };
        let command = DeviceCommand::RequestCommand { wanted };
        for (past, &transport) in [registered(), vec![register(), DeviceCommand::Decommission]]
            .iter()
            .flat_map(|past| Transport::VARIANTS.iter().map(move |transport| (past, transport)))
        {
            let mut device = state_of(past);
            device.profile.transport = transport;
            for held in [false, true] {
                let allowed = allowed_commands(device.lifecycle, transport, held).contains(&DeviceOperation::Command);
                let rejection = device.decide(at(0), &command).err().map(Refusal::from);
                let refused = refused_commands(device.lifecycle, transport, held).into_iter();
                let why =
                    refused.filter(|(command, _)| *command == DeviceOperation::Command).map(|(_, why)| why).next();
                assert_eq!((allowed, &why), (rejection.is_none(), &rejection), "{transport:?}, held: {held}");
            }
        }
    }

    #[test]
    fn what_has_ended_without_success_can_be_tried_again() {
        let failed = state_of(&[working(S::Verifying), vec![fails(1, "unsupported")]].concat());
        assert_eq!(failed.update(1).unwrap().allowed_commands(), [UpdateOperation::Retry]);
        let confirmed = state_of(&[working(S::Installing), vec![status("b2", "2.0.0")]].concat());
        assert_eq!(confirmed.update(1).unwrap().allowed_commands(), []);
    }
}

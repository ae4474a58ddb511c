//! The commands of operators that are allowed for an update or a device in its state, shown in replies. A test compares them with `decide`.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Lifecycle;
use super::phase::{Outcome, Phase};
use super::progress::UpdateState;
use super::report::past_return;
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
        match self.phase {
            Phase::Ended(Outcome::Confirmed) | Phase::Cancelling => vec![],
            Phase::Ended(_) => vec![UpdateOperation::Retry],
            phase if past_return(phase) || self.lacks_digest() => vec![],
            _ => vec![UpdateOperation::Cancel],
        }
    }
}

/// Commands that would change a device. Other facts may still refuse one.
pub fn allowed_commands(lifecycle: Lifecycle, transport: Transport, held: bool) -> Vec<DeviceOperation> {
    use DeviceOperation as O;
    let mut allowed = match (lifecycle, held) {
        (Lifecycle::Active, false) => vec![O::Amend, O::Decommission, O::Hold, O::Update, O::RollBack],
        (Lifecycle::Active, true) => vec![O::Amend, O::Decommission, O::Hold, O::Release],
        (Lifecycle::Absent | Lifecycle::Decommissioned, _) => return vec![],
    };
    if transport == Transport::Mqtt {
        allowed.push(O::Command);
    }
    allowed
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
                assert_eq!(allowed, device.decide(at(0), &command).is_ok(), "{transport:?}, held: {held}");
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

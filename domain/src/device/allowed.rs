//! The commands of operators that are allowed for an update or a device in its state, shown in replies. A test compares them with `decide`.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Lifecycle;
use super::phase::{Outcome, Phase};
use super::progress::UpdateState;
use super::report::past_return;

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
pub fn allowed_commands(lifecycle: Lifecycle, held: bool) -> Vec<DeviceOperation> {
    use DeviceOperation as O;
    match (lifecycle, held) {
        (Lifecycle::Active, false) => {
            vec![O::Amend, O::Decommission, O::Hold, O::Update, O::RollBack, O::Command]
        }
        (Lifecycle::Active, true) => vec![O::Amend, O::Decommission, O::Hold, O::Release, O::Command],
        (Lifecycle::Absent | Lifecycle::Decommissioned, _) => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decider;
    use crate::device::ReportStatus as S;
    use crate::device::tests::*;

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
    fn what_has_ended_without_success_can_be_tried_again() {
        let failed = state_of(&[working(S::Verifying), vec![fails(1, "unsupported")]].concat());
        assert_eq!(failed.update(1).unwrap().allowed_commands(), [UpdateOperation::Retry]);
        let confirmed = state_of(&[working(S::Installing), vec![status("b2", "2.0.0")]].concat());
        assert_eq!(confirmed.update(1).unwrap().allowed_commands(), []);
    }
}

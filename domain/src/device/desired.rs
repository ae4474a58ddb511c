//! The command that a device should have now. A pure function, so sending the command again is always correct.

use super::phase::Phase;
use super::update::Update;
use super::{Device, Lifecycle};

/// The desired command of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Desired<'a> {
    Nothing,
    /// Install the update's firmware.
    Install(&'a Update),
    /// Run what the update has staged.
    Activate(&'a Update),
    /// Stop the update if it is not installing yet.
    Cancel(&'a Update),
}

impl Device {
    /// The command that the device should have now. Its `seq` is [`Update::command_seq`].
    pub fn desired(&self) -> Desired<'_> {
        if self.lifecycle != Lifecycle::Active {
            return Desired::Nothing;
        }
        match self.live() {
            Some(update) => match update.phase {
                Phase::Cancelling => Desired::Cancel(update),
                Phase::Activating => Desired::Activate(update),
                // The device does what it was told.
                Phase::Rebooting if update.told_to_activate => Desired::Activate(update),
                Phase::Dispatched
                | Phase::Accepted
                | Phase::Downloading
                | Phase::Verifying
                | Phase::Installing
                | Phase::Staged
                | Phase::Rebooting => Desired::Install(update),
                Phase::Deferred | Phase::Queued | Phase::Waiting(_) | Phase::Ended(_) => Desired::Nothing,
            },
            None => Desired::Nothing,
        }
    }
}

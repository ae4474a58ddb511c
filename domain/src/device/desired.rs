//! What a device should be told at this moment: one pure function, so that sending it again is always right.

use super::update::{Phase, Update};
use super::{Device, Lifecycle};

/// The desired command of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Desired<'a> {
    Nothing,
    /// Bring the device to the update's firmware.
    Install(&'a Update),
    /// Stop the update if it isn't installing yet.
    Cancel(&'a Update),
}

impl Device {
    /// The command that should stand for the device now. Its `seq` is [`Update::command_seq`].
    pub fn desired(&self) -> Desired<'_> {
        if self.lifecycle != Lifecycle::Active {
            return Desired::Nothing;
        }
        match self.live() {
            Some(update) => match update.phase {
                Phase::Cancelling => Desired::Cancel(update),
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

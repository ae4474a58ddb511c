//! What would change it: for each reason that keeps a firmware from a device, the change after which it no longer holds.

use super::eligibility::Exclusion;
use super::phase::WaitReason;

impl Exclusion {
    /// What would have to change, as a sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Decommissioned => "registering the device again",
            Self::Held => "releasing the device, or the end of its hold",
            Self::WrongModel => "a firmware for the model of the device",
            Self::WrongHardware => "a firmware for the hardware version of the device",
            Self::ComponentUnsupported => "a firmware for a component that the device has",
            Self::NoStandbySlot => "a campaign that doesn't stage, or a device that reports two boot slots",
            Self::Unsigned => "a signature of the firmware by a trusted key",
            Self::SbomMissing => "an SBOM among the documents of the firmware",
            Self::ProvenanceMissing => "a provenance by a trusted key among the documents of the firmware",
            Self::AlreadyOnVersion => "nothing is to be done; force_update installs the version again",
            Self::AlreadyNewer => "an update with allow_downgrade, or a rollback",
            Self::VersionNotComparable => "an update with allow_downgrade or force_update",
            Self::FromVersionUnmet => "an update to a version from which this firmware may be installed",
            Self::TooLargeForLorawan => "a smaller image, such as a delta",
            Self::NotSampled => "a higher rollout_percentage of the campaign",
            Self::QueueFull => "the end of an update in the queue of the device, or cancelling one",
            Self::ChangedSince => "another rollback, from the version that the device runs now",
            Self::UpdateInProgress => "the end of the update under way",
        }
    }
}

impl WaitReason {
    /// What an update waits for, as the end of a sentence that begins with *the update waits*.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Offline => "because the device is not reachable",
            Self::Busy => "because another update of the device is under way or goes first",
            Self::Backoff => "before its next attempt",
            Self::Unresponsive => "because the device did not answer its command",
            Self::Withdrawn => "because its campaign was paused before the device answered",
            Self::Slot => "for a slot of its campaign",
            Self::Held => "because the device is held",
            Self::Precondition => "because its preconditions are not met, as far as is known",
            Self::Window => "for the maintenance window of its campaign",
        }
    }

    /// What would have to change, as a sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Offline | Self::Unresponsive => "a message of the device",
            Self::Busy => "the end of the other update, or cancelling it",
            Self::Backoff => "the end of the pause between two attempts",
            Self::Withdrawn => "resuming the campaign",
            Self::Slot => "a free slot, or a higher max_concurrent_updates of the campaign",
            Self::Held => "releasing the device, or the end of its hold",
            Self::Precondition => "telemetry of the device that meets the preconditions",
            Self::Window => "the opening of the maintenance window",
        }
    }
}

//! Events that carry the mark of the message that they follow from.

use super::events::DeviceEvent;
use super::mark::Mark;

macro_rules! field_of {
    ($event:expr) => {
        match $event {
            DeviceEvent::CameOnline { mark, .. }
            | DeviceEvent::InfoReported { mark, .. }
            | DeviceEvent::VersionsReported { mark, .. }
            | DeviceEvent::VersionRegressed { mark, .. }
            | DeviceEvent::UpdateAccepted { mark, .. }
            | DeviceEvent::UpdateDeferred { mark, .. }
            | DeviceEvent::UpdateDownloading { mark, .. }
            | DeviceEvent::UpdateVerifying { mark, .. }
            | DeviceEvent::UpdateDigestReported { mark, .. }
            | DeviceEvent::UpdateDigestMissing { mark, .. }
            | DeviceEvent::UpdateInstalling { mark, .. }
            | DeviceEvent::UpdateStaged { mark, .. }
            | DeviceEvent::UpdateRebooting { mark, .. }
            | DeviceEvent::UpdateSessionSeen { mark, .. }
            | DeviceEvent::UpdateAttemptFailed { mark, .. }
            | DeviceEvent::UpdateConfirmed { mark, .. }
            | DeviceEvent::UpdateFailed { mark, .. }
            | DeviceEvent::UpdateRejected { mark, .. }
            | DeviceEvent::UpdateCancelled { mark, .. }
            | DeviceEvent::UpdateCancelRefused { mark, .. } => Some(mark),
            _ => None,
        }
    };
}

impl DeviceEvent {
    /// The message of the device that was applied with this event. None if the broker does not number messages, and in old events.
    pub fn mark(&self) -> Option<Mark> {
        field_of!(self).copied().flatten()
    }

    pub(super) fn set_mark(&mut self, mark: Option<Mark>) {
        if let Some(field) = field_of!(self) {
            *field = mark;
        }
    }
}

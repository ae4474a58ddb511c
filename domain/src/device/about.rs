//! Which update and which grant an event is about.

use super::events::DeviceEvent;
use super::update_spec::UpdateRef;

impl DeviceEvent {
    /// The grant that the event belongs to.
    pub fn grant(&self) -> Option<u64> {
        match self {
            Self::UpdateWaiting { grant, .. }
            | Self::UpdateDispatched { grant, .. }
            | Self::UpdateStaged { grant, .. }
            | Self::UpdateActivating { grant, .. } => *grant,
            _ => None,
        }
    }

    /// The update that the event is about.
    pub fn update(&self) -> Option<&UpdateRef> {
        match self {
            Self::Registered { .. }
            | Self::Recommissioned { .. }
            | Self::Amended { .. }
            | Self::Decommissioned {}
            | Self::Held { .. }
            | Self::Released {}
            | Self::CredentialIssued { .. }
            | Self::CredentialRevoked { .. }
            | Self::CameOnline { .. }
            | Self::WentOffline { .. }
            | Self::InfoReported { .. }
            | Self::VersionsReported { .. }
            | Self::ReportedLate { .. }
            | Self::CommandQueued { .. }
            | Self::CommandSent { .. }
            | Self::CommandAccepted { .. }
            | Self::CommandDone { .. }
            | Self::CommandFailed { .. }
            | Self::CommandRefused { .. }
            | Self::CommandExpired { .. }
            | Self::CommandCancelled { .. }
            | Self::CommandReportedLate { .. }
            | Self::NetworkSyncRequested {}
            | Self::NetworkSynced { .. }
            | Self::NetworkSyncFailed { .. }
            | Self::NetworkRemoved { .. }
            | Self::NetworkChanged { .. }
            | Self::LorawanKeysSet { .. }
            | Self::LorawanKeysRemoved {} => None,
            Self::VersionRegressed { update, .. }
            | Self::UpdateQueued { update, .. }
            | Self::UpdateWaiting { update, .. }
            | Self::UpdateDispatched { update, .. }
            | Self::UpdateAccepted { update, .. }
            | Self::UpdateDeferred { update, .. }
            | Self::UpdateDownloading { update, .. }
            | Self::UpdateVerifying { update, .. }
            | Self::UpdateDigestReported { update, .. }
            | Self::UpdateDigestMissing { update, .. }
            | Self::UpdateInstalling { update, .. }
            | Self::UpdateStaged { update, .. }
            | Self::UpdateActivating { update, .. }
            | Self::UpdateRebooting { update, .. }
            | Self::UpdateSessionSeen { update, .. }
            | Self::UpdateAttemptFailed { update, .. }
            | Self::UpdateConfirmed { update, .. }
            | Self::UpdateFailed { update, .. }
            | Self::UpdateTimedOut { update, .. }
            | Self::UpdateRejected { update, .. }
            | Self::UpdateExpired { update }
            | Self::UpdateSuperseded { update, .. }
            | Self::UpdateCancelling { update, .. }
            | Self::UpdateCancelled { update, .. }
            | Self::UpdateCancelRefused { update, .. }
            | Self::UpdateReportedLate { update, .. } => Some(update),
        }
    }
}

//! Commands of a device. The device's own reports are commands too: they are checked against the state before they have an effect.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::credentials::{NewCredential, SelfRegistration};
use super::mark::Arrival;
use super::messages::{Info, OfflineCause, Presence, Report};
use super::network::NetworkCommand;
use super::phase::Phase;
use super::profile::{Profile, ProfilePatch};
use super::remote_command::{CommandReport, WantedCommand};
use super::update_spec::{CampaignRef, FirmwareSnapshot, Limits, UpdateKind};
use crate::ids::{CampaignId, CredentialId, FirmwareId};
use crate::preconditions::Preconditions;
use crate::values::Priority;

/// A requested update of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateRequest {
    pub firmware: FirmwareSnapshot,
    pub priority: Priority,
    pub kind: UpdateKind,
    pub limits: Limits,
    pub max_attempts: u16,
    pub activate: bool,
    pub force_update: bool,
    pub allow_downgrade: bool,
    pub preconditions: Option<Preconditions>,
    pub require_digest_report: bool,
    pub retry_of: Option<u32>,
    /// Ordinal of the update that a rollback undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<u32>,
}

/// A campaign's permission for a device to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub campaign: CampaignRef,
    /// Version of the rollout ledger with this grant; later grants are higher.
    pub number: u64,
    /// End of the waiting clock, independent of when the update was queued.
    pub wait_until: DateTime<Utc>,
}

/// The clock of an update that has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The waiting clock: no `received` in time.
    Wait,
    /// The working clock, over all attempts.
    Total,
    /// The limit of the current phase: silence, no answer to a dispatch or cancel, the end of a deferral or of a pause.
    Phase,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum DeviceCommand {
    Register {
        profile: Profile,
        versions: BTreeMap<String, String>,
    },
    Amend {
        patch: ProfilePatch,
        versions: BTreeMap<String, String>,
    },
    Decommission,
    Hold {
        until: Option<DateTime<Utc>>,
    },
    Release,
    IssueCredential {
        credential: NewCredential,
    },
    RevokeCredential {
        credential_id: CredentialId,
    },
    /// The device comes with a registration token. The sender has checked the token.
    SelfRegister {
        registration: Box<SelfRegistration>,
    },
    /// An update of this device alone. It is sent as soon as the device is reachable.
    RequestUpdate {
        request: Box<UpdateRequest>,
    },
    /// A campaign's slot for this device: queues the update if it is not queued yet, and begins it if the device can.
    GrantSlot {
        request: Box<UpdateRequest>,
        grant: Grant,
    },
    /// The preconditions of an update of this device alone are met now.
    Proceed {
        ordinal: u32,
        /// [`Update::seq`](super::Update::seq) as the sender knows it.
        seq: u64,
    },
    /// Takes a granted slot back permanently. The update ends cancelled, even if the device never received it.
    CancelGranted {
        request: Box<UpdateRequest>,
        grant: Grant,
    },
    /// Takes back a granted slot that the device was not told of. The update waits for another slot. For paused campaigns.
    WithdrawGranted {
        request: Box<UpdateRequest>,
        grant: Grant,
    },
    CancelUpdate {
        ordinal: u32,
    },
    /// Takes back an update that the device has not answered. No attempt is used. For paused campaigns.
    Withdraw {
        campaign: CampaignId,
    },
    /// The firmware was withdrawn: removes updates that wait, and cancels those that have begun and are not installing.
    WithdrawFirmware {
        firmware_id: FirmwareId,
    },
    /// Takes back the campaign's update of this device, if that is still possible.
    CancelForCampaign {
        campaign: CampaignId,
        /// Only an update of an earlier round than this: a rollback of the campaign goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before_round: Option<u16>,
    },
    /// A clock ran out, as far as the sender knows. Has no effect when the update has changed since.
    Expire {
        ordinal: u32,
        attempt: u16,
        phase: Phase,
        clock: Clock,
        /// [`Update::seq`](super::Update::seq) as the sender knows it. Any later event of the update makes the command outdated.
        seq: u64,
    },
    /// A command for the device to run beside its updates.
    RequestCommand {
        wanted: WantedCommand,
    },
    /// Takes a command back that the device has not accepted.
    CancelCommand {
        n: u32,
    },
    /// The time of a command is over, as far as the sender knows.
    ExpireCommand {
        n: u32,
    },
    ReportCommand {
        report: CommandReport,
        #[serde(skip)]
        arrival: Arrival,
    },
    Report {
        report: Report,
        #[serde(skip)]
        arrival: Arrival,
    },
    /// What the server that carries the image to the device says of the transfer. It is no message of the device.
    ReportTransfer {
        report: Report,
    },
    ReportPresence {
        presence: Presence,
        #[serde(skip)]
        arrival: Arrival,
    },
    ReportInfo {
        info: Info,
        #[serde(skip)]
        arrival: Arrival,
    },
    /// `offline`: a last will, or sent by the device itself. [`MarkOffline`](Self::MarkOffline) decides whether the device is offline.
    ReportOffline {
        session: Option<String>,
        #[serde(skip)]
        arrival: Arrival,
    },
    /// Any other message of the device.
    SeenOnline,
    MarkOffline {
        cause: OfflineCause,
    },
    /// About the copy of the device in its LoRaWAN network server.
    Network {
        wanted: NetworkCommand,
    },
}

impl DeviceCommand {
    /// Sets the arrival of a command that is a message of the device. Other commands have no arrival.
    #[must_use]
    pub fn arrived(mut self, how: Arrival) -> Self {
        if let Self::Report { arrival, .. }
        | Self::ReportCommand { arrival, .. }
        | Self::ReportPresence { arrival, .. }
        | Self::ReportInfo { arrival, .. }
        | Self::ReportOffline { arrival, .. } = &mut self
        {
            *arrival = how;
        }
        self
    }
}

/// Without a place in the broker's order.
impl From<Report> for DeviceCommand {
    fn from(report: Report) -> Self {
        Self::Report { report, arrival: Arrival::default() }
    }
}

/// Without a place in the broker's order.
impl From<CommandReport> for DeviceCommand {
    fn from(report: CommandReport) -> Self {
        Self::ReportCommand { report, arrival: Arrival::default() }
    }
}

/// Without a place in the broker's order.
impl From<Presence> for DeviceCommand {
    fn from(presence: Presence) -> Self {
        Self::ReportPresence { presence, arrival: Arrival::default() }
    }
}

/// Without a place in the broker's order.
impl From<Info> for DeviceCommand {
    fn from(info: Info) -> Self {
        Self::ReportInfo { info, arrival: Arrival::default() }
    }
}

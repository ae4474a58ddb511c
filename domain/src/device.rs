//! The Device aggregate: identity, versions, presence **and the device's updates**.
//!
//! Invariant: a device never has two live updates. Only this aggregate guards that. Start at [`Device::decide`]; what a device should be
//! told at any moment is [`Device::desired`].

mod about;
mod admin;
mod allowed;
mod apply;
mod codes;
mod command_queue;
mod commands;
mod credentials;
mod decision;
mod desired;
mod digest;
mod eligibility;
mod event_types;
mod events;
mod expiry;
mod lifecycle;
mod mark;
mod marked;
mod messages;
mod network;
mod origin;
mod phase;
mod profile;
mod progress;
mod proof;
mod queue;
mod readiness;
mod remedy;
mod remote_command;
mod report;
mod restart;
#[cfg(test)]
mod tests;
mod threads;
mod update;
mod update_spec;

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use allowed::{DeviceOperation, UpdateOperation, allowed_commands, refused_commands};
pub use codes::{
    CODE_DIGEST_MISSING, CODE_MAX_BYTES, CODE_SILENT, CODE_TIMED_OUT, CODE_VERSION_REGRESSED, CODE_WINDOW_CLOSED,
    CODE_WRONG_BYTES, CodeClass, IMAGE_ATTEMPTS_MAX, class_of, is_code,
};
pub use command_queue::{COMMANDS_ENDED_KEPT_MAX, COMMANDS_OPEN_MAX, RemoteCommand, RemoteCommands};
pub use commands::{Clock, DeviceCommand, Grant, UpdateRequest};
pub use credentials::{
    CREDENTIALS_LIVE_MAX, Credential, Credentials, ENDED_CREDENTIALS_KEPT_MAX, NewCredential, SelfRegistration,
};
pub use desired::Desired;
pub use eligibility::{Candidate, Exclusion, Overrides, QUEUE_GRANTED_MAX, QUEUE_MAX, exclusion, image_max_bytes};
pub use events::DeviceEvent;
pub use mark::{AppliedMarks, Arrival, Frame, Mark, MarkTopic};
pub use messages::{Info, OfflineCause, Presence, Report, ReportStatus};
pub use network::{
    CODE_REMOVED_THERE, DEVICE_SECRET_PREFIX, EDITED_MAX, LEFTOVERS_MAX, LorawanKey, LorawanKeys,
    NETWORK_CODE_MAX_BYTES, NETWORK_REASON_MAX_CHARS, Network, NetworkCommand, NetworkCopy, NetworkDrift,
    NetworkFailure, NetworkIdentity, NetworkTarget, SyncState,
};
pub use origin::{Origin, OriginKind, version_origin};
pub use phase::{Outcome, Phase, WaitReason};
pub use profile::{Profile, ProfilePatch};
pub use progress::{REASON_DIGEST_MISSING, UpdateState};
pub use queue::OVERTAKEN;
pub use readiness::{Availability, Clocks, Conditions, PendingUpdate, Readiness, idle_in};
pub use remote_command::{
    COMMAND_EXPIRY_DEFAULT_S, COMMAND_EXPIRY_MAX_S, COMMAND_NAME_MAX_BYTES, COMMAND_PARAMS_MAX_BYTES, COMMAND_REBOOT,
    COMMAND_WORK_S, CommandData, CommandReport, CommandReportStatus, CommandState, WantedCommand,
};
pub use update::Update;
pub use update_spec::{
    BACKOFF_MAX_S, CampaignRef, FirmwareSnapshot, LORAWAN_DISPATCH_MIN_S, LORAWAN_DOWNLOADING_MIN_S,
    LORAWAN_PHASE_MIN_S, LORAWAN_TOTAL_MIN_S, Limits, UpdateKind, UpdateRef, UpdateSpec, goes_first,
};

use crate::decider::Decider;
use crate::few::Few;
use crate::ids::{CampaignId, DeviceId, FirmwareId};
use crate::rejection::Rejection;
use crate::thread::{Aim, Point, Step, Thread};
use crate::version::TargetVersion;

/// Ended updates that are kept in the state, for late reports.
pub const ENDED_KEPT_MAX: usize = 16;
/// Boots that are remembered, to distinguish a new boot from a repeated message.
pub const BOOTS_KEPT_MAX: usize = 8;

/// Late messages that are remembered, so that each is recorded once.
pub const LATE_KEPT_MAX: usize = 8;

/// Content of a `status` that was older than the newest one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LateStatus {
    pub boot_id: Option<String>,
    pub versions: BTreeMap<String, String>,
}

/// Whether a device is reachable.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reachability {
    #[default]
    NeverSeen,
    Online,
    Offline,
}

/// Lifecycle of a device.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Lifecycle {
    #[default]
    Absent,
    Active,
    Decommissioned,
}

/// An operator's hold: no update begins on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub until: Option<DateTime<Utc>>,
}

impl Hold {
    pub fn is_in_force(self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The firmware that a component was last confirmed to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfirmedFirmware {
    pub update: UpdateRef,
    pub firmware_id: FirmwareId,
    pub version: String,
    /// What devices that run it report, where the firmware declares that.
    pub reported_version: Option<String>,
    /// Set when the firmware was confirmed without evidence of a restart. Until this time, or until a restart is seen, another version is
    /// not a regression.
    pub settles_at: Option<DateTime<Utc>>,
    pub restart_seen: bool,
}

impl ConfirmedFirmware {
    /// Whether a device that reports this version runs it.
    pub fn is_run_by(&self, reported: &str) -> bool {
        let (version, reported_version) = (self.version.as_str(), self.reported_version.as_deref());
        TargetVersion { version, reported_version }.is_met_by(reported)
    }
}

/// The latest update of a campaign on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignUpdate {
    pub ordinal: u32,
    pub round: u16,
}

/// State of a device, folded from its events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub lifecycle: Lifecycle,
    /// Number of events applied.
    pub version: u64,
    pub profile: Profile,
    /// Running version of each component.
    pub versions: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub boot_slots: Option<u8>,
    pub active_slot: Option<String>,
    pub trial: bool,
    pub reachability: Reachability,
    pub session: Option<String>,
    /// The latest boots, the current one last.
    pub boots: VecDeque<String>,
    /// The newest messages of the device that were applied; empty when the broker does not number messages.
    pub applied: AppliedMarks,
    /// Contents of late messages, the latest last.
    pub late: VecDeque<LateStatus>,
    pub hold: Option<Hold>,
    pub credentials: Credentials,
    /// By ordinal: all updates that have not ended, and the latest that have.
    pub updates: Few<u32, Update>,
    pub last_ordinal: u32,
    /// Highest ordinal that was dispatched.
    pub last_told: u32,
    pub confirmed: Few<String, ConfirmedFirmware>,
    /// The latest update of each campaign on this device.
    pub campaigns: Few<CampaignId, CampaignUpdate>,
    /// Commands beside the updates.
    pub commands: RemoteCommands,
    /// Of the copy in its LoRaWAN network server.
    #[serde(default)]
    network: Option<Box<Network>>,
}

crate::aggregate!(Device, "device", DeviceCommand, DeviceEvent);

impl Decider for Device {
    type Command = DeviceCommand;
    type Id = DeviceId;

    fn wants_reason(command: &DeviceCommand) -> bool {
        use DeviceCommand as C;
        match command {
            C::RequestUpdate { request } => request.kind == UpdateKind::Rollback,
            _ => matches!(
                command,
                C::Hold { .. } | C::Release | C::Decommission | C::CancelUpdate { .. } | C::RevokeCredential { .. }
            ),
        }
    }

    fn decide(&self, now: DateTime<Utc>, command: &DeviceCommand) -> Result<Vec<DeviceEvent>, Rejection> {
        use DeviceCommand as C;
        match (self.lifecycle, command) {
            (_, C::Register { profile, versions }) => self.register(profile, versions),
            (_, C::SelfRegister { registration }) => self.self_register(now, registration),
            (Lifecycle::Absent, _) => Err(Rejection::DeviceUnknown),
            (Lifecycle::Active | Lifecycle::Decommissioned, C::GrantSlot { request, grant }) => {
                self.grant_slot(now, request, *grant)
            }
            (Lifecycle::Active | Lifecycle::Decommissioned, C::CancelGranted { request, grant }) => {
                self.cancel_granted(now, request, *grant)
            }
            (Lifecycle::Active, C::WithdrawGranted { request, grant }) => self.withdraw_granted(now, request, *grant),
            // The update ends at once.
            (Lifecycle::Decommissioned, C::WithdrawGranted { request, grant }) => self.grant_slot(now, request, *grant),
            (Lifecycle::Active | Lifecycle::Decommissioned, C::Network { wanted }) => self.decide_network(wanted),
            (Lifecycle::Decommissioned, C::Decommission) => Ok(vec![]),
            (Lifecycle::Decommissioned, _) => Err(Rejection::DeviceDecommissioned),
            (Lifecycle::Active, C::Amend { patch, versions }) => self.amend(patch, versions),
            (Lifecycle::Active, C::Decommission) => Ok(self.decommission()),
            (Lifecycle::Active, C::Hold { until }) => self.hold(now, *until),
            (Lifecycle::Active, C::Release) => Ok(self.release(now)),
            (Lifecycle::Active, C::IssueCredential { credential }) => self.issue_credential(now, credential),
            (Lifecycle::Active, C::RevokeCredential { credential_id }) => self.revoke_credential(*credential_id),
            (Lifecycle::Active, C::RequestUpdate { request }) => self.request_update(now, request),
            (Lifecycle::Active, C::Proceed { ordinal, seq }) => Ok(self.proceed(now, *ordinal, *seq)),
            (Lifecycle::Active, C::CancelUpdate { ordinal }) => self.cancel_update(now, *ordinal),
            (Lifecycle::Active, C::Withdraw { campaign }) => Ok(self.withdraw(now, *campaign)),
            (Lifecycle::Active, C::CancelForCampaign { campaign, before_round }) => {
                Ok(self.cancel_for_campaign(now, *campaign, *before_round))
            }
            (Lifecycle::Active, C::WithdrawFirmware { firmware_id }) => Ok(self.withdraw_firmware(now, *firmware_id)),
            (Lifecycle::Active, C::Expire { ordinal, attempt, phase, clock, seq }) => {
                Ok(self.expire(now, (*ordinal, *attempt, *phase, *seq), *clock))
            }
            (Lifecycle::Active, C::RequestCommand { wanted }) => self.request_command(now, wanted),
            (Lifecycle::Active, C::CancelCommand { n }) => self.cancel_command(now, *n),
            (Lifecycle::Active, C::ExpireCommand { n }) => Ok(self.expire_command(now, *n)),
            (Lifecycle::Active, C::ReportCommand { report, arrival }) => Ok(self.report_command(now, report, *arrival)),
            (Lifecycle::Active, C::ReportTransfer { report }) => Ok(self.report_transfer(now, report)),
            (Lifecycle::Active, C::Report { report, arrival }) => Ok(self.report(now, report, *arrival)),
            (Lifecycle::Active, C::ReportPresence { presence, arrival }) => {
                Ok(self.report_presence(now, presence, *arrival))
            }
            (Lifecycle::Active, C::ReportInfo { info, arrival }) => Ok(self.report_info(now, info, *arrival)),
            (Lifecycle::Active, C::ReportOffline { session, arrival }) => {
                Ok(self.report_offline(now, session.as_deref(), *arrival))
            }
            (Lifecycle::Active, C::SeenOnline) => Ok(self.seen_online(now)),
            (Lifecycle::Active, C::MarkOffline { cause }) => Ok(self.mark_offline(*cause)),
        }
    }

    fn exists(&self) -> bool {
        self.lifecycle != Lifecycle::Absent
    }

    fn step_of(event: &DeviceEvent) -> Option<Step> {
        threads::step(event)
    }

    fn points_of(&self, event: &DeviceEvent) -> Vec<(Thread, Point)> {
        self.points(event)
    }

    fn aim_of(&self, command: &DeviceCommand) -> Aim {
        self.aim(command)
    }

    fn knows_thread(&self, thread: Thread) -> bool {
        self.knows(thread)
    }
}

impl Device {
    /// The update that has begun and not ended, if any.
    pub fn live(&self) -> Option<&Update> {
        self.updates.values().find(|update| update.phase.is_live())
    }

    pub fn update(&self, ordinal: u32) -> Option<&Update> {
        self.updates.get(&ordinal)
    }

    pub fn waiting_updates(&self) -> usize {
        self.updates.values().filter(|update| update.phase.is_waiting()).count()
    }

    pub fn is_held(&self, now: DateTime<Utc>) -> bool {
        self.hold.is_some_and(|hold| hold.is_in_force(now))
    }

    /// The boot the device last reported.
    pub fn boot(&self) -> Option<&str> {
        self.boots.back().map(String::as_str)
    }

    pub(crate) fn candidate(&self, now: DateTime<Utc>) -> Candidate<'_> {
        Candidate {
            decommissioned: self.lifecycle == Lifecycle::Decommissioned,
            held: self.is_held(now),
            device_model: self.profile.device_model.as_deref(),
            hardware_version: self.profile.hardware_version.as_deref(),
            versions: &self.versions,
            boot_slots: self.boot_slots,
            waiting_updates: self.waiting_updates(),
            image_max_bytes: image_max_bytes(self.profile.transport, None),
        }
    }
}

//! Events of a device and its updates. Names and fields are the log's format: only additive changes are allowed, otherwise a new schema is
//! needed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::codes::CodeClass;
use super::mark::Mark;
use super::messages::{OfflineCause, ReportStatus};
use super::network::keys::LorawanKey;
use super::phase::WaitReason;
use super::profile::{Profile, ProfilePatch};
use super::remote_command::{CommandData, CommandReportStatus};
use super::update_spec::{UpdateRef, UpdateSpec};
use crate::ids::{Actor, CredentialId, RegistrationTokenId};
use crate::sealed::Sealed;
use crate::secret_ref::SecretRef;
use crate::token_hash::TokenHash;
use crate::values::Sha256Digest;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum DeviceEvent {
    #[serde(rename = "device.registered")]
    Registered {
        profile: Profile,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        versions: BTreeMap<String, String>,
    },
    #[serde(rename = "device.recommissioned")]
    Recommissioned {
        profile: Profile,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        versions: BTreeMap<String, String>,
    },
    #[serde(rename = "device.amended")]
    Amended {
        patch: ProfilePatch,
        /// Versions stated by an operator; an empty text removes the version.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        versions: BTreeMap<String, String>,
    },
    #[serde(rename = "device.decommissioned")]
    Decommissioned {},
    #[serde(rename = "device.held")]
    Held {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    #[serde(rename = "device.released")]
    Released {},
    #[serde(rename = "device.credential_issued")]
    CredentialIssued {
        credential_id: CredentialId,
        /// Never shown: see [`crate::events::hidden_fields`].
        hash: TokenHash,
        issued_at: DateTime<Utc>,
        by: Actor,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<DateTime<Utc>>,
        /// The device registered itself with this token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        registration_token: Option<RegistrationTokenId>,
    },
    #[serde(rename = "device.credential_revoked")]
    CredentialRevoked { credential_id: CredentialId },
    #[serde(rename = "device.came_online")]
    CameOnline {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "device.went_offline")]
    WentOffline { cause: OfflineCause },
    #[serde(rename = "device.info_reported")]
    InfoReported {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hardware_version: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slots: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact_interval_s: Option<u32>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// A new boot, or versions that differ from those known.
    #[serde(rename = "device.versions_reported")]
    VersionsReported {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        /// Only components that changed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        versions: BTreeMap<String, String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<String>,
        #[serde(default)]
        trial: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// A `status` that is older than one that was applied, with an unknown boot or unknown versions. It is recorded and has no effect.
    #[serde(rename = "device.reported_late")]
    ReportedLate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        versions: BTreeMap<String, String>,
        /// The position of the late message, which is not the newest one.
        mark: Mark,
    },
    /// A confirmed device runs another version without a command.
    #[serde(rename = "device.version_regressed")]
    VersionRegressed {
        update: UpdateRef,
        component: String,
        from_version: String,
        to_version: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },

    /// An operator wants the copy in the LoRaWAN network server to be written again.
    #[serde(rename = "device.network_sync_requested")]
    NetworkSyncRequested {},
    /// The network server has a copy of the device.
    #[serde(rename = "device.network_synced")]
    NetworkSynced {
        dev_eui: String,
        /// Of what was written: see [`NetworkTarget`](super::NetworkTarget).
        fingerprint: String,
        /// Waybill has created it there.
        created: bool,
        /// It is disabled over there.
        #[serde(default, skip_serializing_if = "is_false")]
        is_disabled: bool,
        device_profile_id: String,
    },
    /// The network server has refused for good.
    #[serde(rename = "device.network_sync_failed")]
    NetworkSyncFailed {
        /// The fingerprint that could not be written, or the EUI whose copy could not be removed.
        of: String,
        code: String,
        reason: String,
        /// Revision of the tenant's connection that was used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<u64>,
    },
    /// The network server has no copy under this EUI, or none that is Waybill's.
    #[serde(rename = "device.network_removed")]
    NetworkRemoved {
        dev_eui: String,
        /// Somebody else has removed it.
        #[serde(default, skip_serializing_if = "is_false")]
        found: bool,
    },
    /// Somebody has changed the copy in the network server.
    #[serde(rename = "device.network_changed")]
    NetworkChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        is_disabled: Option<bool>,
        /// Fields that differ from what was written; empty if none does any more. Absent: as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited: Option<Vec<String>>,
    },
    /// The device has join keys. Their values are in the secret.
    #[serde(rename = "device.lorawan_keys_set")]
    LorawanKeysSet { keys: Vec<LorawanKey>, secret: SecretRef },
    #[serde(rename = "device.lorawan_keys_removed")]
    LorawanKeysRemoved {},

    #[serde(rename = "update.queued")]
    UpdateQueued {
        update: UpdateRef,
        spec: Box<UpdateSpec>,
        /// End of the waiting clock.
        wait_until: DateTime<Utc>,
    },
    #[serde(rename = "update.waiting")]
    UpdateWaiting {
        update: UpdateRef,
        reason: WaitReason,
        /// The grant that is given back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<u64>,
        /// The command is not repeated before this time, even if messages of the device arrive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<DateTime<Utc>>,
    },
    #[serde(rename = "update.dispatched")]
    UpdateDispatched {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<u64>,
    },
    #[serde(rename = "update.accepted")]
    UpdateAccepted {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        /// The update of a campaign held no slot: the device answered after the update was deferred, withdrawn or declared unresponsive.
        /// From this event on it holds one of the campaign's slots.
        #[serde(default, skip_serializing_if = "is_false")]
        takes_slot: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.deferred")]
    UpdateDeferred {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        until: DateTime<Utc>,
        /// What the device asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
        /// The maintenance window of its campaign was closed: the update goes on when one is open, be it before `until`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        window_closed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.downloading")]
    UpdateDownloading {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.verifying")]
    UpdateVerifying {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// The device reported the SHA-256 of what it received, and it is the firmware's. Only for updates that require it.
    #[serde(rename = "update.digest_reported")]
    UpdateDigestReported {
        update: UpdateRef,
        sha256: Sha256Digest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// The device has gone on without the report of its SHA-256 that the update requires. The update stays in *verifying*.
    #[serde(rename = "update.digest_missing")]
    UpdateDigestMissing {
        update: UpdateRef,
        /// What the device reported; none if its `status` shows that the version runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reported: Option<ReportStatus>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.installing")]
    UpdateInstalling {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// The new version is installed in the standby slot and not active, or it stays so: the command to activate it wasn't answered, was put off
    /// by the device, or is taken back.
    #[serde(rename = "update.staged")]
    UpdateStaged {
        update: UpdateRef,
        /// Why the device no longer has the command to activate it, or doesn't get it; absent if the device put it off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<WaitReason>,
        /// The grant that is given back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<u64>,
        /// It is not told to activate again before this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<DateTime<Utc>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// The device is told to run the version that it has staged.
    #[serde(rename = "update.activating")]
    UpdateActivating {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<u64>,
    },
    /// The device restarts into the new version, or claims to have done so.
    #[serde(rename = "update.rebooting")]
    UpdateRebooting {
        update: UpdateRef,
        /// The device reports that it is done.
        #[serde(default, skip_serializing_if = "is_false")]
        claimed: bool,
        /// It follows from `completed`: there is no evidence yet that the device has restarted.
        #[serde(default, skip_serializing_if = "is_false")]
        unseen: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// A device that reports no boot ids uses a new session, or its last will arrived.
    #[serde(rename = "update.session_seen")]
    UpdateSessionSeen {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// It shows that the device has restarted since installing.
        #[serde(default, skip_serializing_if = "is_false")]
        restarted: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// An attempt failed and another follows.
    #[serde(rename = "update.attempt_failed")]
    UpdateAttemptFailed {
        update: UpdateRef,
        code: String,
        class: CodeClass,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Sealed<String>>,
        retry_at: DateTime<Utc>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.confirmed")]
    UpdateConfirmed {
        update: UpdateRef,
        component: String,
        /// The firmware's version.
        version: String,
        /// The version as the device spells it, if that differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reported: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slot: Option<String>,
        /// Set if there was no evidence of a restart: until then another version is not a regression.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settles_at: Option<DateTime<Utc>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.failed")]
    UpdateFailed {
        update: UpdateRef,
        code: String,
        class: CodeClass,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Sealed<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.timed_out")]
    UpdateTimedOut {
        update: UpdateRef,
        phase: String,
        /// Which of its clocks ran out: [`super::CODE_SILENT`] or [`super::CODE_TIMED_OUT`]. Absent in older events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    #[serde(rename = "update.rejected")]
    UpdateRejected {
        update: UpdateRef,
        code: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Sealed<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.expired")]
    UpdateExpired { update: UpdateRef },
    #[serde(rename = "update.superseded")]
    UpdateSuperseded { update: UpdateRef, reason: String },
    #[serde(rename = "update.cancelling")]
    UpdateCancelling {
        update: UpdateRef,
        /// The reason, if it was not cancelled by a request for this update.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    #[serde(rename = "update.cancelled")]
    UpdateCancelled {
        update: UpdateRef,
        /// The reason, if it was not cancelled by a request for this update.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    #[serde(rename = "update.cancel_refused")]
    UpdateCancelRefused {
        update: UpdateRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<Mark>,
    },
    /// A report on an update that had ended, or a report older than one that was applied.
    #[serde(rename = "update.reported_late")]
    UpdateReportedLate { update: UpdateRef, status: String },

    #[serde(rename = "command.queued")]
    CommandQueued {
        /// Counts the commands of the device from 1.
        n: u32,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        params: Option<CommandData>,
        expires_in_s: u32,
        /// The end of that time.
        expires_at: DateTime<Utc>,
    },
    /// The device is told to run it.
    #[serde(rename = "command.sent")]
    CommandSent { n: u32 },
    #[serde(rename = "command.accepted")]
    CommandAccepted {
        n: u32,
        /// The boot that the device had reported last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
        /// Without an end until then it has failed.
        work_until: DateTime<Utc>,
    },
    #[serde(rename = "command.done")]
    CommandDone {
        n: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Sealed<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<CommandData>,
        /// A `reboot`: this new boot shows that it is done. Absent if the device has reported it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<String>,
    },
    #[serde(rename = "command.failed")]
    CommandFailed {
        n: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Sealed<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<CommandData>,
    },
    #[serde(rename = "command.refused")]
    CommandRefused {
        n: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Sealed<String>>,
    },
    #[serde(rename = "command.expired")]
    CommandExpired { n: u32 },
    #[serde(rename = "command.cancelled")]
    CommandCancelled {
        n: u32,
        /// The reason, if it was not cancelled by a request for this command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A device has reported another end of a command that had ended.
    #[serde(rename = "command.reported_late")]
    CommandReportedLate { n: u32, status: CommandReportStatus },
}

fn is_false(value: &bool) -> bool {
    !value
}

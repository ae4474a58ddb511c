//! Why the rules refuse a command. A rejection is not an error: nothing failed, and nothing was stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{CampaignId, CredentialId};
use crate::values::Sha256Digest;

/// What a refusal means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// No such resource exists.
    Unknown,
    /// The command could be accepted in another state.
    Conflict,
    /// The command can never be accepted.
    Invalid,
}

macro_rules! rejections {
    ($( $(#[$doc:meta])* $variant:ident $({ $($field:ident : $type:ty),+ $(,)? })? => $kind:ident, $code:literal, $text:literal $(($($shown:tt)+))?; )+) => {
        /// Why a command was refused. Each text states a fact.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
        #[serde(tag = "rejection", rename_all = "snake_case")]
        pub enum Rejection {
            $( $(#[$doc])* #[error($text $(, $($shown)+)?)] $variant $({ $($field: $type),+ })?, )+
        }

        impl Rejection {
            /// Stable name, last segment of the problem type in HTTP replies.
            pub fn code(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $code, )+ }
            }

            pub fn kind(&self) -> RejectionKind {
                match self { $( Self::$variant { .. } => RejectionKind::$kind, )+ }
            }
        }
    };
}

/// Why the state of something doesn't allow a command, told before anybody sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the rejection that the command would get, or of what makes it pointless.
    pub code: &'static str,
    pub detail: String,
}

impl Refusal {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.code(), rejection.to_string())
    }
}

fn listed(ids: &[impl ToString]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `12 devices`, or `10000 devices or more`.
fn counted(devices: u32, more: bool) -> String {
    match (devices, more) {
        (1, false) => "1 device".to_owned(),
        (devices, false) => format!("{devices} devices"),
        (devices, true) => format!("{devices} devices or more"),
    }
}

rejections! {
    Invalid { field: String, reason: String } => Invalid, "invalid", "{field}: {reason}";

    DeviceUnknown => Unknown, "device_unknown", "no such device";
    DeviceExists => Conflict, "device_exists", "the device is already registered with other data";
    DeviceDecommissioned => Conflict, "device_decommissioned", "the device is decommissioned";
    /// A new update was requested, but the device can't take it.
    NotEligible { reason: String, detail: String } => Conflict, "not_eligible", "{detail}";
    UpdateInProgress { ordinal: u32 } => Conflict, "update_in_progress", "update {ordinal} of the device already has this firmware and has not ended";
    QueueFull => Conflict, "queue_full", "the queue of the device is full";
    UpdateUnknown => Unknown, "update_unknown", "no such update";
    UpdateEnded { phase: String } => Conflict, "update_ended", "the update has ended: {phase}";
    UpdateNotEnded { phase: String } => Conflict, "update_not_ended", "the update has not ended: {phase}";
    UpdateSucceeded => Conflict, "update_succeeded", "the update is confirmed";
    CancelTooLate { phase: String } => Conflict, "cancel_too_late", "the update is {phase} and can no longer be cancelled";
    OrdinalsExhausted => Conflict, "ordinals_exhausted", "the device has used up its update ordinals";

    CommandUnknown => Unknown, "command_unknown", "no such command";
    CommandQueueFull { open_max: u32 } => Conflict, "command_queue_full", "the device has {open_max} commands that have not ended, as many as it may have";
    CommandAccepted => Conflict, "command_accepted", "the device has accepted the command, so it can no longer be cancelled";
    CommandEnded { state: String } => Conflict, "command_ended", "the command has ended: {state}";
    CommandsNeedMqtt { transport: String } => Conflict, "commands_need_mqtt", "the device is reached by {transport}, and commands are sent over MQTT only";
    CommandNumbersExhausted => Conflict, "command_numbers_exhausted", "the device has used up its command numbers";

    /// It has no LoRaWAN EUI, or no application.
    NetworkNotApplicable => Conflict, "network_not_applicable", "the device has no copy in a network server: it needs lorawan_dev_eui and chirpstack_app_id";

    CredentialUnknown => Unknown, "credential_unknown", "no such credential";
    TooManyCredentials { credentials: Vec<CredentialId> } => Conflict, "too_many_credentials", "the device has as many live credentials as it may have: {}; revoke one of them first" (listed(.credentials));
    /// Only the token with which a device has registered may add to its live credentials.
    DeviceHasCredentials => Conflict, "device_has_credentials", "the device has live credentials, and it did not register with this registration token";

    RegistrationTokenUnknown => Unknown, "registration_token_unknown", "no such registration token";
    RegistrationTokenExists => Conflict, "registration_token_exists", "a registration token with this id exists";
    RegistrationTokenRevoked => Conflict, "registration_token_revoked", "the registration token is revoked";
    RegistrationTokenExpired { expires_at: DateTime<Utc> } => Conflict, "registration_token_expired", "the registration token has expired at {expires_at}";
    RegistrationTokenUsedUp { devices_max: u32 } => Conflict, "registration_token_used_up", "the registration token was used by {devices_max} devices, as many as it may be";
    /// The token is for other devices.
    RegistrationOutOfScope { field: String } => Conflict, "registration_out_of_scope", "the registration token is for devices with another {field}";

    MemberUnknown => Unknown, "member_unknown", "no such member";

    TenantUnknown => Unknown, "tenant_unknown", "no such tenant";
    TenantExists => Conflict, "tenant_exists", "a tenant with this id exists";
    TenantFrozen => Conflict, "tenant_frozen", "the tenant is frozen: nothing is dispatched to its devices";
    TooFewTrustedKeys { required: u8, trusted: usize } => Conflict, "too_few_trusted_keys", "{required} signatures are asked for and {trusted} keys are trusted: trust the keys first";
    TooManyTrustedKeys => Conflict, "too_many_trusted_keys", "the tenant trusts as many keys as it may";
    TenantClosed => Conflict, "tenant_closed", "the tenant is closed, and a closed tenant stays closed";
    ApiKeyUnknown => Unknown, "api_key_unknown", "no such API key";
    ApiKeyExists => Conflict, "api_key_exists", "an API key with this id exists";

    /// A device can't go back.
    RollbackImpossible { reason: String, detail: String } => Conflict, "rollback_impossible", "{detail}";

    FirmwareUnknown => Unknown, "firmware_unknown", "no such firmware";
    FirmwareExists { sha256: Sha256Digest } => Conflict, "firmware_exists", "a firmware of this model, component and version exists with other bytes (sha256 {sha256})";
    FirmwareWithdrawn => Conflict, "firmware_withdrawn", "the firmware is withdrawn";
    DocumentUnknown => Unknown, "document_unknown", "the firmware has no such document";
    TooManyDocuments => Conflict, "too_many_documents", "the firmware has as many documents as it may: replace or remove one";
    TooManySignatures => Conflict, "too_many_signatures", "the firmware has as many signatures as it may";
    FirmwareDeleted => Conflict, "firmware_deleted", "the firmware is deleted";
    /// Nobody has looked for devices that could go back to it.
    FirmwareRollbackNeedUnknown => Conflict, "firmware_changed", "the firmware was changed meanwhile: ask again";
    FirmwarePinned { campaigns: Vec<CampaignId> } => Conflict, "firmware_pinned", "the firmware is in use by live campaigns: {}" (listed(.campaigns));

    /// Devices that an update brought away from it could go back to it.
    FirmwareNeededForRollback { devices: u32, more: bool, campaigns: Vec<CampaignId> } => Conflict, "firmware_needed_for_rollback", "{} could still go back to this firmware: withdraw it, or delete it with force: true and a reason" (counted(*.devices, *.more));

    CampaignUnknown => Unknown, "campaign_unknown", "no such campaign";
    CampaignExists => Conflict, "campaign_exists", "a campaign with this id exists with other data";
    IllegalInState { command: String, status: String } => Conflict, "illegal_in_state", "a campaign that is {status} can't be {command}";
    GateStillClosed => Conflict, "gate_still_closed", "a gate stopped this campaign; resuming needs accept_failures: true and a reason";
    /// The draft's `ends_at` passed before the campaign was started.
    CampaignOver { ends_at: DateTime<Utc> } => Conflict, "campaign_over", "the campaign's ends_at, {ends_at}, has passed: set a later ends_at first";
    /// The draft's `scheduled_start` passed before the campaign was started.
    ScheduledStartPassed { scheduled_start: DateTime<Utc> } => Conflict, "scheduled_start_passed", "the campaign's scheduled_start, {scheduled_start}, has passed: set a later one first, or start it with now: true";
    /// Its approval is for its `scheduled_start`.
    ApprovedForLater { scheduled_start: DateTime<Utc> } => Conflict, "approved_for_later", "the campaign is approved for a start at {scheduled_start}: another start needs another approval";
    /// Creator and last editor don't decide on their own work.
    FourEyes { role: String } => Conflict, "four_eyes", "the {role} of a campaign can't approve or reject it: another person must";
    /// An operator can't open this wave now.
    WaveNotDue { wave: u16, open_wave: u16, reason: String } => Conflict, "wave_not_due", "{reason}";
    PlanMismatch => Conflict, "plan_mismatch", "the plan is not the one that was requested";

    DeploymentUnknown => Unknown, "deployment_unknown", "no such FUOTA deployment";
    DeploymentCreatedOtherwise { chirpstack_id: String } => Conflict, "deployment_created_otherwise", "the FUOTA deployment was created as {chirpstack_id}";
    DeploymentNotCreated => Conflict, "deployment_not_created", "the FUOTA deployment was not created";
    DeploymentNotEnded => Conflict, "deployment_not_ended", "the FUOTA deployment has not ended";
    DeploymentEnded => Conflict, "deployment_ended", "the FUOTA deployment has ended";

    GroupUnknown => Unknown, "group_unknown", "no such group";
    GroupExists => Conflict, "group_exists", "a group with this id exists with other data";
    GroupInUse { campaigns: Vec<CampaignId> } => Conflict, "group_in_use", "campaigns under way target the group: {}" (listed(.campaigns));
    GroupIsDynamic => Conflict, "group_is_dynamic", "the group is dynamic: its filter says which devices are members";
    GroupIsStatic => Conflict, "group_is_static", "the group is static: it lists its members and has no filter";
    GroupFull { members: u32, members_max: u32 } => Conflict, "group_full", "the group would have {members} members, more than {members_max}";

    StaleView => Conflict, "stale_view", "slots were granted after the view was read";
    NoFreeSlots => Conflict, "no_free_slots", "the campaign has no free slots";
    ClaimTaken { owner: String } => Conflict, "claim_taken", "the value already belongs to {owner}";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn campaigns_are_named_by_their_ids() {
        let ids = [CampaignId(uuid::Uuid::nil()), CampaignId(uuid::Uuid::max())];
        let text = Rejection::FirmwarePinned { campaigns: ids.to_vec() }.to_string();
        assert_eq!(text, format!("the firmware is in use by live campaigns: {}, {}", ids[0], ids[1]));
    }
}

//! All events of all aggregates, for readers of the whole log.

use serde::{Deserialize, Serialize};

pub use crate::api_key::ApiKeyEvent;
pub use crate::campaign::CampaignEvent;
pub use crate::claim::ClaimEvent;
pub use crate::device::DeviceEvent;
pub use crate::firmware::FirmwareEvent;
pub use crate::fuota::FuotaEvent;
pub use crate::group::GroupEvent;
pub use crate::ledger::LedgerEvent;
pub use crate::lorawan_profile::LorawanProfileEvent;
pub use crate::member::MemberEvent;
pub use crate::plan::PlanEvent;
pub use crate::registration_token::RegistrationTokenEvent;
pub use crate::tenant::TenantEvent;

/// An event of any aggregate: the type's name is unique over all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyEvent {
    Device(DeviceEvent),
    Firmware(FirmwareEvent),
    Campaign(CampaignEvent),
    Plan(PlanEvent),
    Ledger(LedgerEvent),
    Claim(ClaimEvent),
    Group(GroupEvent),
    RegistrationToken(RegistrationTokenEvent),
    Tenant(TenantEvent),
    Member(MemberEvent),
    ApiKey(ApiKeyEvent),
    Fuota(FuotaEvent),
    LorawanProfile(LorawanProfileEvent),
}

/// The aggregate types and the event types each of them writes, with schema versions.
pub fn catalogue() -> Vec<(&'static str, &'static [(&'static str, u16)])> {
    use cqrs_es::Aggregate;
    vec![
        (crate::device::Device::TYPE, DeviceEvent::TYPES),
        (crate::firmware::Firmware::TYPE, FirmwareEvent::TYPES),
        (crate::campaign::Campaign::TYPE, CampaignEvent::TYPES),
        (crate::plan::PlanChunk::TYPE, PlanEvent::TYPES),
        (crate::ledger::Ledger::TYPE, LedgerEvent::TYPES),
        (crate::claim::Claim::TYPE, ClaimEvent::TYPES),
        (crate::group::Group::TYPE, GroupEvent::TYPES),
        (crate::registration_token::RegistrationToken::TYPE, RegistrationTokenEvent::TYPES),
        (crate::tenant::Tenant::TYPE, TenantEvent::TYPES),
        (crate::member::Member::TYPE, MemberEvent::TYPES),
        (crate::api_key::ApiKey::TYPE, ApiKeyEvent::TYPES),
        (crate::fuota::FuotaDeployment::TYPE, FuotaEvent::TYPES),
        (crate::lorawan_profile::LorawanProfile::TYPE, LorawanProfileEvent::TYPES),
    ]
}

/// Whether the events of an aggregate are in the public feed.
pub fn is_public(aggregate: &str) -> bool {
    use cqrs_es::Aggregate;
    [
        crate::device::Device::TYPE,
        crate::firmware::Firmware::TYPE,
        crate::campaign::Campaign::TYPE,
        crate::plan::PlanChunk::TYPE,
    ]
    .contains(&aggregate)
}

/// What an event ends, or none.
pub fn ends(name: &str) -> Option<&'static str> {
    match name {
        "update.confirmed" | "update.failed" | "update.timed_out" | "update.rejected" | "update.expired"
        | "update.superseded" | "update.cancelled" => Some("the update"),
        "command.done" | "command.failed" | "command.refused" | "command.expired" | "command.cancelled" => {
            Some("the command")
        }
        "campaign.finished" | "campaign.cancelled" | "campaign.deleted" => Some("the campaign"),
        "fuota.completed" | "fuota.aborted" => Some("the transfer"),
        "device.decommissioned" => Some("the device's service"),
        "firmware.deleted" => Some("the firmware"),
        "device.credential_revoked" => Some("the credential"),
        "group.deleted" => Some("the group"),
        "registration_token.revoked" => Some("the token"),
        "tenant.closed" => Some("the tenant"),
        "api_key.revoked" => Some("the key"),
        _ => None,
    }
}

/// An event without its hidden fields.
pub fn without_hidden(mut event: serde_json::Value) -> serde_json::Value {
    let hidden = hidden_fields(event["type"].as_str().unwrap_or_default());
    if let Some(fields) = event.as_object_mut() {
        fields.retain(|name, _| !hidden.contains(&name.as_str()));
    }
    event
}

/// Fields of an event that no reply and no message shows: keyed hashes of tokens.
pub fn hidden_fields(name: &str) -> &'static [&'static str] {
    match name {
        "device.credential_issued" | "registration_token.issued" | "api_key.issued" => &["hash"],
        _ => &[],
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Public form of devices. Their names are not public. Events of their updates are in [`super::update`].

use std::collections::BTreeMap;

use domain::device::{DeviceEvent, Profile, ProfilePatch};
use serde_json::{Value, json};

use super::data::{V1, object, word};
use super::{Public, command, update};

impl Public for DeviceEvent {
    fn public(&self, id: &str) -> Option<(u16, Value)> {
        let data = match self {
            Self::Registered { profile, versions } | Self::Recommissioned { profile, versions } => {
                description(profile, versions)
            }
            Self::Amended { patch, versions } => json!({ "changed": changes(patch), "versions": versions }),
            Self::Decommissioned {} | Self::Released {} | Self::CameOnline { .. } => json!({}),
            Self::Held { until } => object(json!({ "until": until })),
            Self::CredentialIssued { credential_id, expires_at, .. } => {
                object(json!({ "credential_id": credential_id, "expires_at": expires_at }))
            }
            Self::CredentialRevoked { credential_id } => json!({ "credential_id": credential_id }),
            Self::WentOffline { cause } => json!({ "cause": word(cause) }),
            Self::InfoReported { hardware_version, slots, contact_interval_s, attributes, .. } => object(json!({
                "hardware_version": hardware_version,
                "slots": slots,
                "contact_interval_s": contact_interval_s,
                "attributes": attributes,
            })),
            Self::VersionsReported { versions, trial, .. } => json!({ "versions": versions, "trial": trial }),
            Self::ReportedLate { versions, .. } => json!({ "versions": versions }),
            Self::NetworkSyncRequested {} | Self::LorawanKeysRemoved {} => json!({}),
            Self::NetworkSynced { created, is_disabled, .. } => {
                json!({ "created": created, "is_disabled": is_disabled })
            }
            Self::NetworkSyncFailed { code, .. } => json!({ "code": code }),
            Self::NetworkRemoved { found, .. } => json!({ "found": found }),
            Self::NetworkChanged { is_disabled, edited } => {
                object(json!({ "is_disabled": is_disabled, "edited": edited }))
            }
            Self::LorawanKeysSet { keys, .. } => json!({ "keys": keys }),
            of_a_command if of_a_command.remote_command().is_some() => command::public(of_a_command),
            of_an_update => return update::public(id, of_an_update).map(|data| (V1, data)),
        };
        Some((V1, with_id(id, data)))
    }
}

fn with_id(id: &str, mut data: Value) -> Value {
    data["device_id"] = id.into();
    data
}

fn description(profile: &Profile, versions: &BTreeMap<String, String>) -> Value {
    object(json!({
        "device_type": profile.device_type,
        "device_model": profile.device_model,
        "manufacturer": profile.manufacturer,
        "hardware_version": profile.hardware_version,
        "tags": profile.tags,
        "transport": word(&profile.transport),
        "versions": versions,
    }))
}

/// The public fields that an operator changed; null for one that was cleared.
fn changes(patch: &ProfilePatch) -> Value {
    const KNOWN: [&str; 5] = ["device_type", "device_model", "manufacturer", "hardware_version", "tags"];
    match serde_json::to_value(patch) {
        Ok(Value::Object(fields)) => fields.into_iter().filter(|(name, _)| KNOWN.contains(&name.as_str())).collect(),
        _ => json!({}),
    }
}

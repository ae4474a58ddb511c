//! The operator's description of a device, and merge-patches of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::sealed::Sealed;
use crate::values::Transport;

/// The operator's description of a device. It does not include the running versions, which devices report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Sealed<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_version: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Longest interval between two messages of the device, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_interval_s: Option<u32>,
    /// 16 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lorawan_dev_eui: Option<String>,
    /// 16 lower-case hex digits; zeros in the network server when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_eui: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chirpstack_app_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_profile_id: Option<String>,
    /// An opaque id of who may see the device with a grant for their own devices; the id of an actor without its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default)]
    pub transport: Transport,
}

/// JSON merge-patch of a [`Profile`]; a tag set to `null` is removed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProfilePatch {
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub name: Change<Sealed<String>>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub device_type: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub device_model: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub manufacturer: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub hardware_version: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub tags: Change<BTreeMap<String, Change<String>>>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub timezone: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub contact_interval_s: Change<u32>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub lorawan_dev_eui: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub join_eui: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub chirpstack_app_id: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub device_profile_id: Change<String>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub owner: Change<String>,
}

impl Profile {
    /// The profile with the patch applied, and whether anything differs.
    pub fn patched(&self, patch: &ProfilePatch) -> (Self, bool) {
        let mut next = self.clone();
        let differs = [
            patch.name.apply_to(&mut next.name),
            patch.device_type.apply_to(&mut next.device_type),
            patch.device_model.apply_to(&mut next.device_model),
            patch.manufacturer.apply_to(&mut next.manufacturer),
            patch.hardware_version.apply_to(&mut next.hardware_version),
            patch.timezone.apply_to(&mut next.timezone),
            patch.contact_interval_s.apply_to(&mut next.contact_interval_s),
            patch.lorawan_dev_eui.apply_to(&mut next.lorawan_dev_eui),
            patch.join_eui.apply_to(&mut next.join_eui),
            patch.chirpstack_app_id.apply_to(&mut next.chirpstack_app_id),
            patch.device_profile_id.apply_to(&mut next.device_profile_id),
            patch.owner.apply_to(&mut next.owner),
            patch_tags(&patch.tags, &mut next.tags),
        ];
        (next.reached_by_identity(), differs.contains(&true))
    }

    /// The profile with the transport that follows from its identity.
    #[must_use]
    pub fn reached_by_identity(mut self) -> Self {
        self.transport = self.transport.following(self.lorawan_dev_eui.as_deref());
        self
    }
}

fn patch_tags(change: &Change<BTreeMap<String, Change<String>>>, tags: &mut BTreeMap<String, String>) -> bool {
    let before = tags.clone();
    match change {
        Change::Keep => {}
        Change::Clear => tags.clear(),
        Change::Set(changes) => {
            for (key, value) in changes {
                match value {
                    Change::Keep => {}
                    Change::Clear => drop(tags.remove(key)),
                    Change::Set(value) => drop(tags.insert(key.clone(), value.clone())),
                }
            }
        }
    }
    *tags != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_follows_the_identity() {
        let patch = |json: &str| serde_json::from_str::<ProfilePatch>(json).unwrap();
        let lorawan = Profile::default().patched(&patch(r#"{"lorawan_dev_eui":"0102030405060708"}"#)).0;
        assert_eq!(lorawan.transport, Transport::Lorawan);
        assert_eq!(lorawan.patched(&patch(r#"{"device_type":"t"}"#)).0.transport, Transport::Lorawan);
        assert_eq!(lorawan.patched(&patch(r#"{"lorawan_dev_eui":null}"#)).0.transport, Transport::Mqtt);
        let ddi = Profile { transport: Transport::Ddi, ..Profile::default() };
        assert_eq!(ddi.patched(&patch(r#"{"lorawan_dev_eui":null}"#)).0.transport, Transport::Ddi);
    }

    #[test]
    fn absent_keeps_and_null_clears() {
        let profile = Profile {
            manufacturer: Some("A".into()),
            hardware_version: Some("1".into()),
            tags: BTreeMap::from([("site".into(), "x".into()), ("line".into(), "2".into())]),
            ..Profile::default()
        };
        let patch: ProfilePatch =
            serde_json::from_str(r#"{"manufacturer":null,"device_type":"t","tags":{"site":null,"row":"7"}}"#).unwrap();
        let (next, differs) = profile.patched(&patch);
        assert!(differs);
        assert_eq!(next.manufacturer, None);
        assert_eq!(next.hardware_version.as_deref(), Some("1"));
        assert_eq!(next.tags, BTreeMap::from([("line".into(), "2".into()), ("row".into(), "7".into())]));
        assert!(!next.patched(&patch).1, "the same patch again changes nothing");
    }
}

//! What Waybill takes over from a device that somebody has created in ChirpStack. Pure; the pages are read by [`Client::list_all_devices`].
//!
//! [`Client::list_all_devices`]: crate::grpc::Client::list_all_devices

use crate::grpc::device::Device;

/// Variable of a device over there that names the device here.
pub const DEVICE_VARIABLE: &str = "waybill_device_id";
/// Tag of a device over there that names its model.
pub const MODEL_TAG: &str = "device_model";
/// The join EUI of a device that has none.
const NO_EUI: &str = "0000000000000000";

/// The parts of a device that are taken over. Its device profile and its tags stay what they are over there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedDevice {
    /// The id here that it had before, or its EUI.
    pub device_id: String,
    pub dev_eui: String,
    pub application_id: String,
    pub name: Option<String>,
    pub join_eui: Option<String>,
    pub device_model: Option<String>,
}

impl ImportedDevice {
    /// `is_text` says which names and models can be taken over; others are left out.
    #[must_use]
    pub fn of(found: &Device, is_text: fn(&str) -> bool) -> Self {
        let dev_eui = found.dev_eui.to_ascii_lowercase();
        let text = |text: &String| is_text(text).then(|| text.clone());
        let join_eui = found.join_eui.to_ascii_lowercase();
        Self {
            device_id: found.variables.get(DEVICE_VARIABLE).cloned().unwrap_or_else(|| dev_eui.clone()),
            dev_eui,
            application_id: found.application_id.clone(),
            name: text(&found.name),
            join_eui: (!join_eui.is_empty() && join_eui != NO_EUI).then_some(join_eui),
            device_model: found.tags.get(MODEL_TAG).and_then(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Device {
        Device {
            dev_eui: "0102030405060A0B".to_owned(),
            name: "Boiler".to_owned(),
            application_id: "app-1".to_owned(),
            join_eui: NO_EUI.to_owned(),
            ..Device::default()
        }
    }

    #[test]
    fn a_new_device_is_named_by_its_eui_and_one_that_was_known_keeps_its_id() {
        let imported = ImportedDevice::of(&found(), |text| !text.is_empty());
        assert_eq!((imported.device_id.as_str(), imported.dev_eui.as_str()), ("0102030405060a0b", "0102030405060a0b"));
        assert_eq!((imported.name.as_deref(), imported.join_eui, imported.device_model), (Some("Boiler"), None, None));
        let mut known = found();
        known.variables.insert(DEVICE_VARIABLE.to_owned(), "d-1".to_owned());
        known.tags.insert(MODEL_TAG.to_owned(), "LS-1".to_owned());
        known.join_eui = "00000000000000AA".to_owned();
        let imported = ImportedDevice::of(&known, |_| true);
        assert_eq!((imported.device_id.as_str(), imported.device_model.as_deref()), ("d-1", Some("LS-1")));
        assert_eq!(imported.join_eui.as_deref(), Some("00000000000000aa"));
        assert_eq!(ImportedDevice::of(&known, |_| false).name, None);
    }
}

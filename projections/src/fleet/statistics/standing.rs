//! Where a device counts: by whether it is reachable, and by what it runs.

use domain::device::{DeviceEvent as E, Lifecycle};
use domain::values::FIRMWARE_COMPONENT;

use crate::decode::Decoded;
use crate::fleet::device_row::DeviceRow;
use crate::row::storable_text;

/// What sums know of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(super) status: &'static str,
    pub(super) kind: Kind,
    /// Versions by component, with an empty one if it isn't known which firmware runs; none of a decommissioned device.
    pub(super) versions: Vec<(String, String)>,
}

/// What devices with the same hardware have in common. Empty if not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kind {
    pub(super) device_type: String,
    pub(super) device_model: String,
    pub(super) hardware_version: String,
}

impl Standing {
    /// None for a device whose first record isn't applied yet.
    pub(crate) fn of(device: &DeviceRow) -> Option<Self> {
        if device.position == 0 {
            return None;
        }
        let text = |text: &Option<String>| text.as_deref().map(storable_text).unwrap_or_default();
        let kind = Kind {
            device_type: text(&device.device_type),
            device_model: text(&device.device_model),
            hardware_version: text(&device.hardware_version),
        };
        if device.lifecycle == Lifecycle::Decommissioned {
            return Some(Self { status: device.lifecycle.word(), kind, versions: Vec::new() });
        }
        let mut versions: Vec<(String, String)> = device
            .versions
            .iter()
            .map(|(component, version)| (storable_text(component), storable_text(version)))
            .collect();
        if !device.versions.contains_key(FIRMWARE_COMPONENT) {
            versions.push((FIRMWARE_COMPONENT.to_owned(), String::new()));
        }
        Some(Self { status: device.status.word(), kind, versions })
    }

    /// Whether a record may change the standing of its device.
    pub(crate) fn may_change(record: &Decoded) -> bool {
        record.device_events().iter().any(|event| {
            event.update().is_none() || matches!(event, E::UpdateConfirmed { .. } | E::VersionRegressed { .. })
        })
    }
}

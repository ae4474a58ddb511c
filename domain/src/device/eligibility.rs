//! Whether a device may have a firmware. Checked twice: by the planner of a campaign, as a forecast, and by the device before the update
//! begins.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::update_spec::FirmwareSnapshot;
use crate::firmware::Lack;
use crate::lorawan::{self, Region};
use crate::values::{FIRMWARE_COMPONENT, Transport};
use crate::version::{VersionRequirement, compare, compare_hardware};

/// Most updates that may wait on one device when another is requested.
pub const QUEUE_MAX: usize = 8;
/// Most updates that may wait on one device when a campaign grants it a slot. Higher than [`QUEUE_MAX`], because the campaign has planned
/// with the device.
pub const QUEUE_GRANTED_MAX: usize = 2 * QUEUE_MAX;

/// Boot slots of a device that can stage: the one that it runs from, and one to install into.
const SLOTS_TO_STAGE: u8 = 2;

/// Why a device is excluded. The first reason that applies counts.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Exclusion {
    Decommissioned,
    Held,
    WrongModel,
    WrongHardware,
    ComponentUnsupported,
    NoStandbySlot,
    Unsigned,
    /// The tenant asks for an SBOM of the firmware.
    SbomMissing,
    /// The tenant asks for a provenance of the firmware by a trusted key.
    ProvenanceMissing,
    AlreadyOnVersion,
    AlreadyNewer,
    VersionNotComparable,
    FromVersionUnmet,
    /// The image is larger than what the region of the device can carry.
    TooLargeForLorawan,
    NotSampled,
    QueueFull,
    /// A campaign was to be rolled back on the device, which runs another version by now.
    ChangedSince,
    /// Another update was under way. Only in older plans and events: today such a device is enrolled and waits.
    UpdateInProgress,
}

impl From<Lack> for Exclusion {
    fn from(lack: Lack) -> Self {
        match lack {
            Lack::Signatures => Self::Unsigned,
            Lack::Sbom => Self::SbomMissing,
            Lack::Provenance => Self::ProvenanceMissing,
        }
    }
}

impl Exclusion {
    /// Whether the reason follows from the version that the device runs.
    pub fn is_of_version(self) -> bool {
        matches!(
            self,
            Self::AlreadyOnVersion | Self::AlreadyNewer | Self::VersionNotComparable | Self::FromVersionUnmet
        )
    }
}

/// What is looked at in a device.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub decommissioned: bool,
    pub held: bool,
    pub device_model: Option<&'a str>,
    pub hardware_version: Option<&'a str>,
    pub versions: &'a BTreeMap<String, String>,
    /// Boot slots that the device has reported; None if it never did.
    pub boot_slots: Option<u8>,
    pub waiting_updates: usize,
    /// Largest image that reaches it, in bytes; None: its transport has no such bound.
    pub image_max_bytes: Option<u64>,
}

/// Largest image that a device of this transport can be sent, in bytes; None: no such bound. For LoRaWAN the region counts; while it is unknown,
/// the one that carries most.
pub fn image_max_bytes(transport: Transport, region: Option<Region>) -> Option<u64> {
    match transport {
        Transport::Mqtt | Transport::Ddi => None,
        Transport::Lorawan => Some(lorawan::image_max_bytes(region)),
    }
}

/// What an update asks of a device beside its firmware, and checks that the operator has switched off for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    pub force_update: bool,
    pub allow_downgrade: bool,
    /// It stops at *staged*, so the device needs a slot that it doesn't run from.
    pub stages: bool,
}

/// The first reason that excludes the device, if any.
pub fn exclusion(device: Candidate<'_>, firmware: &FirmwareSnapshot, overrides: Overrides) -> Option<Exclusion> {
    if device.decommissioned {
        return Some(Exclusion::Decommissioned);
    }
    if device.held {
        return Some(Exclusion::Held);
    }
    if device.device_model != Some(firmware.device_model.as_str()) {
        return Some(Exclusion::WrongModel);
    }
    if !hardware_fits(device.hardware_version, firmware) {
        return Some(Exclusion::WrongHardware);
    }
    if !has_component(device.versions, &firmware.component) {
        return Some(Exclusion::ComponentUnsupported);
    }
    // A device that hasn't said how many slots it has might overwrite what it runs.
    if overrides.stages && device.boot_slots.is_none_or(|slots| slots < SLOTS_TO_STAGE) {
        return Some(Exclusion::NoStandbySlot);
    }
    if let Some(lack) = firmware.lack {
        return Some(lack.into());
    }
    let running = device.versions.get(&firmware.component).map(String::as_str);
    if let Some(reason) = running.and_then(|running| version_exclusion(running, firmware, overrides)) {
        return Some(reason);
    }
    if let Some(requirement) = &firmware.requires_version {
        let met = VersionRequirement::parse(requirement)
            .is_ok_and(|requirement| running.is_some_and(|running| requirement.matches(running)));
        if !met {
            return Some(Exclusion::FromVersionUnmet);
        }
    }
    if device.image_max_bytes.is_some_and(|max| firmware.size > max) {
        return Some(Exclusion::TooLargeForLorawan);
    }
    (device.waiting_updates >= QUEUE_MAX).then_some(Exclusion::QueueFull)
}

/// Whether a device has a component. A device that lists components besides its firmware has those and no others. A device that lists only
/// its firmware, or nothing, may have any component. Every device has firmware.
fn has_component(versions: &BTreeMap<String, String>, component: &str) -> bool {
    let lists = versions.keys().any(|listed| listed != FIRMWARE_COMPONENT);
    component == FIRMWARE_COMPONENT || !lists || versions.contains_key(component)
}

fn version_exclusion(running: &str, firmware: &FirmwareSnapshot, overrides: Overrides) -> Option<Exclusion> {
    if firmware.is_run_by(running) {
        return (!overrides.force_update).then_some(Exclusion::AlreadyOnVersion);
    }
    match compare(running, &firmware.version) {
        Some(Ordering::Greater) => (!overrides.allow_downgrade).then_some(Exclusion::AlreadyNewer),
        // Another build of the same version is neither newer nor older.
        Some(Ordering::Less | Ordering::Equal) => None,
        None => (!overrides.allow_downgrade && !overrides.force_update).then_some(Exclusion::VersionNotComparable),
    }
}

fn hardware_fits(hardware: Option<&str>, firmware: &FirmwareSnapshot) -> bool {
    let listed = firmware.hardware_versions.is_empty()
        || hardware.is_some_and(|hardware| firmware.hardware_versions.iter().any(|listed| listed == hardware));
    let within = |bound: &Option<String>, refused: Ordering| match bound {
        None => true,
        Some(bound) => {
            hardware.and_then(|hardware| compare_hardware(hardware, bound)).is_some_and(|order| order != refused)
        }
    };
    listed
        && within(&firmware.min_hardware_version, Ordering::Less)
        && within(&firmware.max_hardware_version, Ordering::Greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_lists_its_components_has_no_others() {
        let has = |listed: &[&str], component: &str| {
            let versions = listed.iter().map(|listed| ((*listed).to_owned(), "1.0.0".to_owned())).collect();
            has_component(&versions, component)
        };
        assert!(!has(&["firmware", "radio"], "bootloader"));
        assert!(!has(&["radio"], "bootloader"));
        assert!(has(&["firmware", "radio"], "radio"));
        assert!(has(&["radio"], "firmware"), "every device has firmware");
        for says_nothing in [&[][..], &["firmware"]] {
            assert!(has(says_nothing, "bootloader"), "a first install: {says_nothing:?}");
        }
    }
}

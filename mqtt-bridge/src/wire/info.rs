//! `info`: description of a device, sent after a boot or a change.

use std::collections::BTreeMap;

use domain::device::Info;
use serde::Deserialize;
use serde_json::Value;

use super::{Malformed, bounds, read};

/// Longest contact interval, in seconds: a month.
const CONTACT_INTERVAL_MAX_S: u32 = 31 * 24 * 3_600;
/// Most boot slots: the running one and one to install into.
const SLOTS_MAX: u8 = 2;

/// A device's `info`, the fields that are used.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InfoMessage {
    #[serde(default)]
    pub versions: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub firmware_version: Option<String>,
    #[serde(default)]
    pub hardware_version: Option<String>,
    #[serde(default)]
    pub slots: Option<u8>,
    #[serde(default)]
    pub contact_interval_s: Option<u32>,
    #[serde(default)]
    pub attributes: Option<BTreeMap<String, Value>>,
}

impl InfoMessage {
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        read(payload)
    }

    pub fn to_info(&self) -> Result<Info, Malformed> {
        if self.slots.is_some_and(|slots| !(1..=SLOTS_MAX).contains(&slots)) {
            return Err(Malformed::new(format!("slots is not between 1 and {SLOTS_MAX}")));
        }
        if self.contact_interval_s.is_some_and(|seconds| seconds > CONTACT_INTERVAL_MAX_S) {
            return Err(Malformed::new(format!("contact_interval_s is above {CONTACT_INTERVAL_MAX_S}")));
        }
        Ok(Info {
            versions: bounds::versions(self.versions.clone().unwrap_or_default(), self.firmware_version.clone())?,
            hardware_version: bounds::short_text("hardware_version", self.hardware_version.clone())?,
            slots: self.slots,
            contact_interval_s: self.contact_interval_s,
            attributes: bounds::attributes(self.attributes.clone().unwrap_or_default())?,
        })
    }
}

//! Rules for filters of devices, in specifications and in dynamic groups.

use super::rules::{Violation, Violations};
use super::spec::TargetFilters;
use crate::values::TAGS_MAX;
use crate::version::VersionRequirement;

impl TargetFilters {
    /// All violations; `field` is the name of the filters where they are given.
    pub fn violations(&self, field: &str) -> Vec<Violation> {
        let mut found = Violations::default();
        let Self { device_type, device_model, hardware_version, firmware_version, tags } = self;
        found.short(format!("{field}.device_type"), device_type.as_deref());
        found.short(format!("{field}.device_model"), device_model.as_deref());
        found.short(format!("{field}.hardware_version"), hardware_version.as_deref());
        if let Some(Err(reason)) = firmware_version.as_deref().map(VersionRequirement::parse) {
            found.add(format!("{field}.firmware_version"), reason);
        }
        if tags.len() > TAGS_MAX {
            found.add(format!("{field}.tags"), format!("at most {TAGS_MAX}"));
        }
        for (key, value) in tags.iter().take(TAGS_MAX) {
            for text in [key, value] {
                found.short(format!("{field}.tags.{key}"), Some(text));
            }
        }
        found.0
    }
}

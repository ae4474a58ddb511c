//! What must hold on a device before it is told to begin. Judged by what was last heard of it, which is no event, so a process manager
//! looks and the device's aggregate only waits for its word.

use serde::{Deserialize, Serialize};

/// What must hold; what is absent doesn't matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preconditions {
    /// 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_battery_percent: Option<u8>,
    /// The device last said that it has external power.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external_power: bool,
    /// It was heard within so many minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_silence_minutes: Option<u32>,
}

impl Preconditions {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

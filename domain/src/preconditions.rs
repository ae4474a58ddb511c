//! Preconditions of an update. They are checked against the device's latest telemetry, which is not in events. So a process manager checks
//! them, and the device's aggregate waits for its command.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Longest silence that a precondition allows: 31 days, in minutes.
const SILENCE_MAX_MINUTES: u32 = 31 * 24 * 60;

/// Preconditions of an update. Absent fields are not checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preconditions {
    /// 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_battery_percent: Option<u8>,
    /// The device last reported external power.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external_power: bool,
    /// Its latest message is at most this many minutes old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_silence_minutes: Option<u32>,
}

/// The latest telemetry of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestTelemetry {
    pub last_seen: DateTime<Utc>,
    /// 0 to 100.
    pub battery_percent: Option<i64>,
    pub external_power: Option<bool>,
}

impl Preconditions {
    /// Whether they are met at `now` by the latest telemetry of the device. Without telemetry none is met.
    pub fn are_met(&self, telemetry: Option<LatestTelemetry>, now: DateTime<Utc>) -> bool {
        let Some(telemetry) = telemetry else { return false };
        let charged = |least: u8| telemetry.battery_percent.is_some_and(|percent| percent >= i64::from(least));
        let spoke_within = |minutes: u32| telemetry.last_seen >= now - TimeDelta::minutes(minutes.into());
        self.min_battery_percent.is_none_or(charged)
            && (!self.external_power || telemetry.external_power == Some(true))
            && self.max_silence_minutes.is_none_or(spoke_within)
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All violations, with the reason.
    pub fn violations(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.min_battery_percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
            found.push(("min_battery_percent", "1 to 100".to_owned()));
        }
        if self.max_silence_minutes.is_some_and(|minutes| !(1..=SILENCE_MAX_MINUTES).contains(&minutes)) {
            found.push(("max_silence_minutes", format!("1 to {SILENCE_MAX_MINUTES}")));
        }
        found
    }
}

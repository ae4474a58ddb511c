//! The parts of a specification, for the API description. They are read and written as the domain's own types, which have the same fields;
//! a test compares them.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// One wave: a share of the campaign's devices, and its gate. Its soak and thresholds replace the campaign's.
#[derive(ToSchema)]
#[schema(example = json!({"percentage": 10, "name": "canary", "soak_minutes": 60, "advance": "manual"}))]
#[expect(dead_code, reason = "describes `WaveSpec`")]
pub(crate) struct WaveRequest {
    /// Cumulative: 1 to 100, rising strictly from wave to wave, and 100 in the last one.
    #[schema(minimum = 1, maximum = 100)]
    percentage: u8,
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    #[schema(maximum = 525600)]
    soak_minutes: Option<u32>,
    #[schema(maximum = 100)]
    success_threshold_percent: Option<u8>,
    #[schema(maximum = 100)]
    failure_threshold_percent: Option<u8>,
    /// How the wave **after** this one opens: `auto`, or `manual` by an operator (`POST /campaigns/{campaign_id}/waves/{wave}/open`). On
    /// the last wave `manual` has no effect.
    #[schema(value_type = Option<String>, default = "auto", example = "manual")]
    advance: String,
}

/// Which devices a campaign targets or a dynamic group has. All given filters must match.
#[derive(ToSchema)]
#[schema(example = json!({"device_type": "smart_frame", "firmware_version": "<2.0.0", "tags": {"site": "north"}}))]
#[expect(dead_code, reason = "describes the domain's `TargetFilters`")]
pub(crate) struct TargetFilters {
    #[schema(min_length = 1, max_length = 128)]
    device_type: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    device_model: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    hardware_version: Option<String>,
    /// A requirement on the version that runs, such as `<2.0.0`; a bare version means exactly that one.
    firmware_version: Option<String>,
    /// Devices that have all of these.
    tags: Option<BTreeMap<String, String>>,
}

/// Preconditions before a device gets its command, checked against its latest messages. Empty preconditions count as none.
#[derive(ToSchema)]
#[schema(example = json!({"min_battery_percent": 30, "external_power": true, "max_silence_minutes": 60}))]
#[expect(dead_code, reason = "describes the domain's `Preconditions`")]
pub(crate) struct Preconditions {
    #[schema(minimum = 1, maximum = 100)]
    min_battery_percent: Option<u8>,
    #[schema(default = false)]
    external_power: Option<bool>,
    #[schema(minimum = 1, maximum = 44640)]
    max_silence_minutes: Option<u32>,
}

/// One maintenance window. It opens on each of its days at `start`, and closes at `end` (on the next day if that is earlier) or after
/// `duration_minutes`. A time that the clock skips in spring is the next instant, one that it shows twice in autumn counts once.
#[derive(ToSchema)]
#[schema(example = json!({"days": ["friday", "saturday"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}))]
#[expect(dead_code, reason = "describes the domain's `MaintenanceWindow`")]
pub(crate) struct MaintenanceWindow {
    /// `monday` to `sunday`: the days on which it opens.
    #[schema(min_items = 1, max_items = 7)]
    days: Vec<String>,
    /// `HH:MM`.
    start: String,
    /// `HH:MM`, up to `24:00`.
    end: Option<String>,
    /// Instead of `end`.
    #[schema(minimum = 1, maximum = 1440)]
    duration_minutes: Option<u16>,
    /// An IANA name, or `device`: each device's own `timezone`.
    #[schema(value_type = Option<String>, default = "UTC")]
    timezone: String,
    /// With `device`: the zone of devices that have none; UTC by default.
    default_timezone: Option<String>,
}

/// Limits of the devices of one transport. What is absent is as in the campaign.
#[derive(ToSchema)]
#[schema(example = json!({"max_concurrent_updates": 250}))]
#[expect(dead_code, reason = "describes the domain's `TransportLimits`")]
pub(crate) struct TransportLimits {
    /// Devices of this transport that update at the same time, 1 to 100,000. Those that begin together share a FUOTA deployment, at most 250.
    max_concurrent_updates: Option<u32>,
    /// Devices of this transport that begin in a minute.
    rate_per_minute: Option<u32>,
    /// Most devices of this transport that begin together.
    batch_size: Option<u32>,
}

/// What a campaign's specification has besides name, firmware and strategy, with all defaults filled in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `CampaignSpec` as replies show it")]
pub(crate) struct CampaignSettings {
    target_devices: Option<Vec<String>>,
    target_groups: Option<Vec<String>>,
    target_filters: Option<TargetFilters>,
    target_all: bool,
    rollout_percentage: u8,
    sample_seed: Option<String>,
    max_concurrent_updates: u32,
    batch_size: Option<u32>,
    /// Absent without limits of their own.
    lorawan: Option<TransportLimits>,
    waves: Vec<WaveRequest>,
    canary_size: Option<u32>,
    soak_minutes: u32,
    success_threshold_percent: Option<u8>,
    failure_threshold_percent: u8,
    failure_count: Option<u32>,
    gate_min_settled: u32,
    min_reached_percent: u8,
    wave_wait_minutes: u32,
    rate_per_minute: Option<u32>,
    jitter_seconds: Option<u32>,
    auto_rollback: bool,
    /// Absent if false.
    requires_approval: Option<bool>,
    scheduled_start: Option<chrono::DateTime<chrono::Utc>>,
    timeout_minutes: u32,
    wait_for_device_minutes: u32,
    max_retries: u16,
    priority: String,
    force_update: bool,
    allow_downgrade: bool,
    require_digest_report: Option<bool>,
    preconditions: Option<Preconditions>,
    maintenance_window: Option<Vec<MaintenanceWindow>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    fn described<T: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn example<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()["example"].clone()
    }

    fn keys(value: &Value) -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_described_parts_have_the_fields_of_the_domain() {
        let wave = json!({
            "percentage": 10, "name": "a", "soak_minutes": 1, "success_threshold_percent": 1, "failure_threshold_percent": 1,
            "advance": "manual",
        });
        let wave: domain::campaign::WaveSpec = serde_json::from_value(wave).unwrap();
        assert_eq!(keys(&serde_json::to_value(&wave).unwrap()), described::<WaveRequest>());
        let filters = json!({
            "device_type": "a", "device_model": "b", "hardware_version": "1", "firmware_version": "1", "tags": {"a": "b"},
        });
        let filters: domain::campaign::TargetFilters = serde_json::from_value(filters).unwrap();
        assert_eq!(keys(&serde_json::to_value(&filters).unwrap()), described::<TargetFilters>());
        let wanted = example::<Preconditions>();
        let read: domain::preconditions::Preconditions = serde_json::from_value(wanted.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), wanted);
        assert_eq!(keys(&wanted), described::<Preconditions>());
        assert!(serde_json::from_value::<domain::campaign::WaveSpec>(example::<WaveRequest>()).is_ok());
        let mut window = example::<MaintenanceWindow>();
        (window["duration_minutes"], window["default_timezone"]) = (json!(1), json!("UTC"));
        assert!(serde_json::from_value::<domain::window::MaintenanceWindow>(window.clone()).is_ok());
        assert_eq!(keys(&window), described::<MaintenanceWindow>());
        assert!(serde_json::from_value::<domain::campaign::TargetFilters>(example::<TargetFilters>()).is_ok());
    }
}

//! Requests that make a campaign.

use domain::device::FirmwareSnapshot;
use serde_json::json;

use super::super::warnings::warnings;
use super::*;

fn request(more: Value) -> Result<CampaignSpec, Problem> {
    let mut all = json!({
        "name": "Q4 2024 Update", "firmware_id": "00000000-0000-0000-0000-000000000001",
        "deployment_strategy": "staged", "target_all": true,
    });
    for (field, value) in more.as_object().unwrap() {
        all[field] = value.clone();
    }
    crate::http::body::parse::<CampaignRequest>(all.to_string().as_bytes())?
        .into_spec(DateTime::UNIX_EPOCH, TenantRules::default())
}

fn percentages(spec: &CampaignSpec) -> Vec<u8> {
    spec.waves.iter().map(|wave| wave.percentage.get()).collect()
}

#[test]
fn strategies_fill_the_waves() {
    assert_eq!(percentages(&request(json!({})).unwrap()), [10, 50, 100]);
    assert_eq!(percentages(&request(json!({"deployment_strategy": "immediate"})).unwrap()), [100]);
    let canary = json!({"deployment_strategy": "canary", "canary_percentage": 3});
    assert_eq!(percentages(&request(canary).unwrap()), [3, 100]);
    let canary = json!({"deployment_strategy": "canary", "canary_size": 7});
    assert_eq!(request(canary).unwrap().canary_size, Some(7));
    let waves = json!({"waves": [{"percentage": 1}, {"percentage": 100}]});
    assert_eq!(percentages(&request(waves).unwrap()), [1, 100]);
}

#[test]
fn the_documented_example_is_accepted_without_a_warning() {
    let spec = request(json!({
        "target_filters": {"device_type": "smart_frame", "firmware_version": "<2.0.0"}, "target_all": false,
        "rollout_percentage": 100, "max_concurrent_updates": 50, "batch_size": 10, "auto_rollback": true,
        "failure_threshold_percent": 20,
    }))
    .unwrap();
    assert_eq!(warnings(&spec, None, None), Vec::<String>::new());
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let wrong = json!({"name": "", "canary_size": 5, "batch_size": 0, "ends_at": "1970-01-01T00:00:00Z"});
    let problem = request(wrong).unwrap_err();
    let fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["canary_size", "name", "batch_size", "ends_at"]);
}

#[test]
fn a_rollback_that_the_firmware_forbids_is_warned_about() {
    let firmware = |rollback_allowed: bool| {
        let snapshot = json!({
            "firmware_id": "00000000-0000-0000-0000-000000000001", "device_model": "m", "component": "firmware", "version": "2.0.0", "size": 1,
            "sha256": "0".repeat(64), "requires_reboot": true, "rollback_allowed": rollback_allowed,
        });
        serde_json::from_value::<FirmwareSnapshot>(snapshot).unwrap()
    };
    let spec = request(json!({"auto_rollback": true})).unwrap();
    assert_eq!(warnings(&spec, None, Some(&firmware(true))), Vec::<String>::new());
    assert!(warnings(&spec, None, Some(&firmware(false)))[0].contains("rollback_allowed"));
    let spec = request(json!({})).unwrap();
    assert_eq!(warnings(&spec, None, Some(&firmware(false))), Vec::<String>::new());
}

#[test]
fn manual_on_the_last_wave_is_warned_about() {
    let waves =
        |last: &str| json!({"waves": [{"percentage": 10, "advance": "manual"}, {"percentage": 100, "advance": last}]});
    assert_eq!(warnings(&request(waves("auto")).unwrap(), None, None), Vec::<String>::new());
    assert!(warnings(&request(waves("manual")).unwrap(), None, None)[0].contains("no effect"));
}

#[test]
fn the_specification_in_replies_is_described() {
    let full = json!({
        "target_devices": ["d-1"], "target_groups": ["hall-3"], "target_filters": {"device_type": "a"}, "sample_seed": "s", "batch_size": 1,
        "success_threshold_percent": 1, "failure_count": 1, "rate_per_minute": 1, "preconditions": {"external_power": true},
        "jitter_seconds": 60, "requires_approval": true, "scheduled_start": "1970-01-02T00:00:00Z",
        "require_digest_report": true, "lorawan": {"max_concurrent_updates": 1},
        "maintenance_window": [{"days": ["monday"], "start": "22:00", "end": "04:00", "timezone": "device"}],
    });
    let mut spec = request(full).unwrap();
    spec.canary_size = Some(1);
    let shown = SpecBody::of(&spec).rest;
    let schema = serde_json::to_value(<parts::CampaignSettings as utoipa::PartialSchema>::schema()).unwrap();
    let described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let mut shown: Vec<&String> = shown.as_object().unwrap().keys().collect();
    shown.sort();
    assert_eq!(shown, described);
}

#[test]
fn nothing_is_ignored() {
    for (more, field) in [
        (json!({"deployment_strategy": "scheduled"}), "scheduled_start"),
        (json!({"deployment_strategy": "immediate", "waves": [{"percentage": 100}]}), "waves"),
        (json!({"canary_percentage": 5}), "canary_percentage"),
        (json!({"canary_size": 5}), "canary_size"),
        (json!({"deployment_strategy": "canary", "canary_size": 5, "canary_percentage": 5}), "canary_size"),
        (json!({"deployment_strategy": "canary", "canary_size": 0}), "canary_size"),
        (json!({"target_groups": ["a.b"]}), "target_groups[0]"),
        (json!({"target_groups": vec!["g"; 101]}), "target_groups"),
        (json!({"requires_approval": 1}), "requires_approval"),
        (json!({"scheduled_start": "1969-01-01T00:00:00Z"}), "scheduled_start"),
        (json!({"scheduled_start": "2030-01-01T00:00:00Z"}), "scheduled_start"),
        (json!({"scheduled_start": "1970-01-03T00:00:00Z", "ends_at": "1970-01-02T00:00:00Z"}), "scheduled_start"),
        (json!({"jitter_seconds": 86_401}), "jitter_seconds"),
        (json!({"waves": [{"percentage": 50}]}), "waves"),
        (json!({"waves": [{"percentage": 50, "colour": 1}]}), "waves[0].colour"),
        (json!({"target_all": false}), "target_devices"),
        (json!({"rollout_percentage": 0}), "rollout_percentage"),
        (json!({"max_concurrent_updates": 0}), "max_concurrent_updates"),
        (json!({"lorawan": {"max_concurrent_updates": 0}}), "lorawan.max_concurrent_updates"),
        (json!({"lorawan": {"max_concurrent_updates": 100_001}}), "lorawan.max_concurrent_updates"),
        (json!({"lorawan": {"rate_per_minute": 0}}), "lorawan.rate_per_minute"),
        (json!({"lorawan": {"batch_size": 0}}), "lorawan.batch_size"),
        (json!({"lorawan": {"colour": 1}}), "lorawan.colour"),
        (json!({"ends_at": "+10000-01-01T00:00:00Z"}), "ends_at"),
        (json!({"ends_at": "1970-01-01T00:00:00Z"}), "ends_at"),
        (json!({"name": ""}), "name"),
        (json!({"wave_wait_minutes": 525_601}), "wave_wait_minutes"),
        (json!({"waves": [{"percentage": 100, "name": ""}]}), "waves[0].name"),
        (json!({"preconditions": {"min_battery_percent": 101}}), "preconditions.min_battery_percent"),
        (json!({"target_filters": {"device_type": ""}}), "target_filters.device_type"),
        (json!({"target_filters": {"firmware_version": "<<1"}}), "target_filters.firmware_version"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let problem = request(more.clone()).unwrap_err();
        assert_eq!(problem.status().as_u16(), 422, "{more}");
        assert_eq!(problem.errors()[0].field, field, "{more}");
    }
    assert!(request(json!({"requires_approval": false, "target_groups": [], "jitter_seconds": 0})).is_ok());
}

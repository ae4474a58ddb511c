//! Failures that are common in the field: lost reports, fallbacks, retained commands, offline fleets.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::simulate::{Behaviour, DeviceSpec};

use crate::world::{World, device, devices};

/// Starts an update of one device and returns its path.
async fn update(api: &waybill::api_client::ApiClient, device: &str, firmware: &str) -> String {
    let reply = api.post(&format!("/devices/{device}/update"), &json!({"firmware_id": firmware})).await.unwrap();
    format!("/devices/{device}/updates/{}", reply["ordinal"])
}

fn behaving(id: &str, behaviour: Behaviour) -> DeviceSpec {
    DeviceSpec { behaviour, ..device(id) }
}

async fn outcome_of(behaviour: Behaviour, wanted: &str) -> (Value, u64) {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, vec![behaving("d-1", behaviour)]).await;
    let path = update(&api, "d-1", &firmware).await;
    let ended = world.until_get(&api, &path, wanted, |body| body["phase"] == wanted).await;
    let installs = fleet.device("d-1").unwrap().status().installs.len() as u64;
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
    (ended, installs)
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_and_reversed_reports_confirm_one_install() {
    let (_, installs) =
        outcome_of(Behaviour { duplicate: true, reverse: true, ..Behaviour::default() }, "confirmed").await;
    assert_eq!(installs, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_mid_download_and_a_reconnect_mid_install_resume_the_attempt() {
    let behaviour = Behaviour {
        reboot_mid_download: true,
        reconnect_mid_install: true,
        die_after_received: true,
        ..Behaviour::default()
    };
    let (ended, installs) = outcome_of(behaviour, "confirmed").await;
    assert_eq!(installs, 1);
    assert_eq!(ended["attempt"], 1, "no attempt was used up: {ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_claims_success_but_boots_the_old_version_has_failed() {
    let (ended, _) = outcome_of(Behaviour { lie: true, ..Behaviour::default() }, "failed").await;
    assert_eq!(ended["code"], "version_regressed", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_device_is_updated_later() {
    let (ended, installs) = outcome_of(Behaviour { defer: true, ..Behaviour::default() }, "confirmed").await;
    assert_eq!((installs, &ended["attempt"]), (1, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_retained_command_after_a_reboot_installs_once() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(1)).await;
    let path = update(&api, "d-0", &firmware).await;
    world.until_get(&api, &path, "working", |body| body["phase"] != "dispatched").await;
    let handle = fleet.device("d-0").unwrap();
    handle.power_cycle().await;
    world.until_get(&api, &path, "confirmed", |body| body["phase"] == "confirmed").await;
    handle.power_cycle().await;
    world.settles().await;
    assert_eq!(handle.status().installs.len(), 1);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_percent_offline_devices_do_not_close_a_twenty_percent_gate() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs: Vec<DeviceSpec> = (0..20)
        .map(|n| behaving(&format!("d-{n}"), Behaviour { offline: n % 10 < 3, ..Behaviour::default() }))
        .collect();
    let fleet = world.online_fleet(&api, specs).await;
    let more = json!({"deployment_strategy": "immediate", "failure_threshold_percent": 20});
    let id = world.campaign(&api, &firmware, more).await;
    let path = format!("/campaigns/{id}/status");
    let status = world.until_get(&api, &path, "14 confirmed", |body| body["confirmed"] == 14).await;
    assert_eq!((&status["status"], &status["failed"]), (&json!("running"), &json!(0)), "{status}");
    // They are still updated when they come online.
    for n in [0, 1, 2, 10, 11, 12] {
        fleet.device(&format!("d-{n}")).unwrap().switch_on().await;
    }
    let status = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!(status["confirmed"], 20, "{status}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_after_confirmation_closes_the_gate() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(10)).await;
    let waves = json!([{"percentage": 20, "advance": "manual", "soak_minutes": 60}, {"percentage": 100}]);
    let more = json!({"waves": waves, "gate_min_settled": 2, "failure_threshold_percent": 20});
    let id = world.campaign(&api, &firmware, more).await;
    let path = format!("/campaigns/{id}/status");
    world.until_get(&api, &path, "wave 1 confirmed", |body| body["confirmed"] == 2).await;
    let first = api.get(&format!("/campaigns/{id}/devices?wave=1&limit=1")).await.unwrap();
    let first = first["items"][0]["device_id"].as_str().unwrap();
    fleet.device(first).unwrap().fall_back().await;
    let status = world.campaign_is(&api, &id, &["paused"]).await;
    assert_eq!(status["failed"], 1, "{status}");
    let history = api.get(&format!("/devices/{first}/history?limit=200")).await.unwrap();
    assert!(history.to_string().contains("device.version_regressed"), "{history}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_queued_after_a_newer_one_is_superseded() {
    let world = World::start().await;
    let api = world.operator().await;
    let newer = world.firmware(&api, "2.1.0").await;
    let older = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(1)).await;
    let first = update(&api, "d-0", &newer).await;
    let second = update(&api, "d-0", &older).await;
    world.until_get(&api, &first, "2.1.0 confirmed", |body| body["phase"] == "confirmed").await;
    world.until_get(&api, &second, "2.0.0 superseded", |body| body["phase"] == "superseded").await;
    let device = api.get("/devices/d-0").await.unwrap();
    assert_eq!(device["firmware_version"], "2.1.0");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_version_in_a_filter_matches_exactly_that_version() {
    let world = World::start().await;
    let api = world.operator().await;
    let with = |id: &str, version: &str| DeviceSpec { firmware_version: version.to_owned(), ..device(id) };
    world
        .register(
            &api,
            &[with("a", "1.9.0"), with("b", "1.9.1"), with("c", "1.10.0"), with("d", "2.0.0-rc.1"), with("e", "2.0.0")],
        )
        .await;
    world.settles().await;
    let ids = async |filter: &str| -> Vec<String> {
        let query = reqwest::Url::parse_with_params("http://x/devices", &[("firmware_version", filter)]).unwrap();
        let page = api.get(&format!("/devices?{}", query.query().unwrap())).await.unwrap();
        page["items"].as_array().unwrap().iter().map(|item| item["device_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("1.9.0").await, ["a"]);
    assert_eq!(ids("<2.0.0").await, ["a", "b", "c", "d"]);
    assert_eq!(ids("^1.9.0").await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_adds_no_event() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(1)).await;
    let path = update(&api, "d-0", &firmware).await;
    world.until_get(&api, &path, "confirmed", |body| body["phase"] == "confirmed").await;
    let handle = fleet.device("d-0").unwrap();
    let before = api.get("/devices/d-0/history?limit=200").await.unwrap()["items"].as_array().unwrap().len();
    for progress in 0..20 {
        handle.report(1, &json!({"attempt": 1, "status": "downloading", "progress": progress})).await;
    }
    handle.publish("telemetry", br#"{"temperature": 21}"#.to_vec()).await;
    world.settles().await;
    let history = api.get("/devices/d-0/history?limit=200").await.unwrap();
    let types: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(types.len(), before, "{types:?}");
    let of_update = types.iter().filter(|name| name.starts_with("update.")).count();
    assert!(of_update <= 8, "{types:?}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_comes_too_late_is_refused() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(1)).await;
    let path = update(&api, "d-0", &firmware).await;
    world.until_get(&api, &path, "confirmed", |body| body["phase"] == "confirmed").await;
    let reply = api.send(Method::POST, "/updates/d-0~1/cancel", Some(&json!({}))).await.unwrap();
    assert_eq!(reply.status, 409, "{}", reply.body);
    fleet.stop().await;
}

//! The device protocol message by message, with a device played by the test.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, World};

async fn register(api: &ApiClient, id: &str) {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
}

async fn order(api: &ApiClient, id: &str, firmware: &str) -> u64 {
    let reply = api.post(&format!("/devices/{id}/update"), &json!({"firmware_id": firmware})).await.unwrap();
    reply["ordinal"].as_u64().unwrap()
}

async fn phase_is(world: &World, api: &ApiClient, id: &str, ordinal: u64, phase: &str) -> Value {
    let path = format!("/devices/{id}/updates/{ordinal}");
    world.until_get(api, &path, phase, |body| body["phase"] == phase).await
}

fn is_update(ordinal: u64) -> impl Fn(&Value) -> bool {
    move |command| command["command"] == "ota_update" && command["ordinal"] == ordinal
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_link_is_renewed_without_costing_an_attempt() {
    let mut world = World::start_with(&["--download-secret", "the secret of the first days, 32 bytes"]).await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    register(&api, "d-1").await;
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    let ordinal = order(&api, "d-1", &firmware).await;
    let (first, _) = device.hears("its command", is_update(ordinal)).await;
    device.reports(ordinal, 1, "received").await;
    device.reports(ordinal, 1, "downloading").await;
    phase_is(&world, &api, "d-1", ordinal, "downloading").await;

    world.stop_waybill().await;
    world.restart_with(&["--download-secret", "the secret of later days, also 32 bytes"]).await;
    let status = reqwest::get(first["url"].as_str().unwrap()).await.unwrap().status();
    assert_eq!(status, 403, "the old link is invalid");
    device.forgets();
    device.says("commands/get", &json!({})).await;
    let (fresh, retained) =
        device.hears("a fresh link", |command| is_update(ordinal)(command) && command["url"] != first["url"]).await;
    assert!(!retained);
    assert_eq!((&fresh["attempt"], &fresh["sha256"]), (&json!(1), &first["sha256"]));
    let file = reqwest::get(fresh["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(file.status(), 200);
    assert_eq!(file.bytes().await.unwrap().len() as u64, fresh["size"].as_u64().unwrap());
    device.installs(ordinal, 1, "b2", "2.0.0").await;
    let ended = phase_is(&world, &api, "d-1", ordinal, "confirmed").await;
    assert_eq!(ended["attempt"], 1, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_update_never_clears_the_command_of_the_next() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let mut firmware = Vec::new();
    for minor in 1..=8 {
        firmware.push(world.firmware(&api, &format!("2.{minor}.0")).await);
    }
    register(&api, "d-1").await;
    let device = world.manual_device("d-1").await;
    device.boots("b0", "1.0.0").await;
    let mut ordinals = Vec::new();
    for id in &firmware {
        ordinals.push(order(&api, "d-1", id).await);
    }
    for (n, ordinal) in ordinals.iter().enumerate() {
        device.hears("its command", is_update(*ordinal)).await;
        if n == 3 {
            // Messages that were not sent when the service died are sent by the next one.
            world.kill_waybill();
            device.installs(*ordinal, 1, &format!("b{}", n + 1), &format!("2.{}.0", n + 1)).await;
            world.start_waybill().await;
        } else {
            device.installs(*ordinal, 1, &format!("b{}", n + 1), &format!("2.{}.0", n + 1)).await;
        }
        phase_is(&world, &api, "d-1", *ordinal, "confirmed").await;
        if let Some(next) = ordinals.get(n + 1) {
            // Checks the retained copy. An answer to a report isn't retained, and comes before the next service has the lease.
            device.hears_retained(&world, "the next command", is_update(*next)).await;
            world.settles().await;
            let newcomer = world.manual_device("d-1").await;
            let (command, retained) = newcomer.hears("the retained command", |_| true).await;
            assert!(retained && is_update(*next)(&command), "after {ordinal}: {command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_will_of_the_latest_session_counts() {
    let world = World::start_with(&["--offline-debounce-seconds", "1"]).await;
    let api = world.operator().await;
    register(&api, "d-1").await;
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    device.boots("b2", "1.0.0").await;
    world.until_get(&api, "/devices/d-1", "online", |body| body["status"] == "online").await;
    device.says("status", &json!({"status": "offline", "session": "s-b1"})).await;
    world.settles().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let found = api.get("/devices/d-1").await.unwrap();
    assert_eq!(found["status"], "online", "{found}");
    device.says("status", &json!({"status": "offline", "session": "s-b2"})).await;
    world.until_get(&api, "/devices/d-1", "offline", |body| body["status"] == "offline").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_its_command_when_its_preconditions_are_met() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    register(&api, "d-1").await;
    register(&api, "d-2").await;
    let says = |battery: u32, power: bool| json!({"status": "online", "session": "s", "boot_id": "b1", "firmware_version": "1.0.0", "battery_level": battery, "external_power": power});
    let (alone, member) = (world.manual_device("d-1").await, world.manual_device("d-2").await);
    alone.says("status", &says(20, true)).await;
    member.says("status", &says(90, false)).await;
    world.online(&api, 2).await;

    let wanted = json!({"firmware_id": firmware, "preconditions": {"min_battery_percent": 50}});
    let update = api.post("/devices/d-1/update", &wanted).await.unwrap();
    assert_eq!((&update["phase"], &update["wait_reason"]), (&json!("waiting"), &json!("precondition")), "{update}");
    let conditions = json!({"min_battery_percent": 50, "external_power": true});
    let more = json!({"deployment_strategy": "immediate", "target_all": false, "target_devices": ["d-2"], "preconditions": conditions});
    let id = world.campaign(&api, &firmware, more).await;
    world.campaign_is(&api, &id, &["running"]).await;
    world.settles().await;
    let status = api.get(&format!("/campaigns/{id}/status")).await.unwrap();
    assert_eq!(status["status_counts"]["planned"], 1, "{status}");

    alone.says("status", &says(80, false)).await;
    alone.hears("its command", is_update(1)).await;
    member.says("status", &says(90, true)).await;
    member.hears("its command", is_update(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_firmware_is_removed_from_the_queues_of_devices() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    register(&api, "d-1").await;
    let ordinal = order(&api, "d-1", &firmware).await;
    phase_is(&world, &api, "d-1", ordinal, "waiting").await;
    api.post(&format!("/firmware/{firmware}/withdraw"), &json!({"reason": "bad"})).await.unwrap();
    let ended = phase_is(&world, &api, "d-1", ordinal, "superseded").await;
    assert_eq!(ended["reason"], "firmware_withdrawn", "{ended}");
    let refused = api.send(Method::POST, "/devices/d-1/update", Some(&json!({"firmware_id": firmware}))).await.unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    world.read_models_equal_a_replay().await;
}

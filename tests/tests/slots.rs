//! Slots, busy devices, withdrawn firmware and the end of campaigns, with devices played by the test.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, World};

/// Registers a device and connects it, running 1.0.0.
async fn online(world: &World, api: &ApiClient, id: &str) -> ManualDevice {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
    let device = world.manual_device(id).await;
    device.boots("b1", "1.0.0").await;
    world.until_get(api, &format!("/devices/{id}"), "online", |body| body["status"] == "online").await;
    device
}

async fn update_is(world: &World, api: &ApiClient, id: &str, phase: &str) -> Value {
    let path = format!("/devices/{id}/updates/1");
    world.until_get(api, &path, &format!("{id} {phase}"), |body| body["phase"] == phase).await
}

fn is(command: &'static str) -> impl Fn(&Value) -> bool {
    move |heard| heard["command"] == command
}

async fn status_of(url: &Value) -> u16 {
    reqwest::get(url.as_str().unwrap()).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_withdrawn_firmware_are_cancelled_before_installing_and_get_no_link() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let (early, far) = (online(&world, &api, "d-early").await, online(&world, &api, "d-far").await);
    let mut links = Vec::new();
    for (device, word) in [(&early, "downloading"), (&far, "installing")] {
        let id = if word == "installing" { "d-far" } else { "d-early" };
        api.post(&format!("/devices/{id}/update"), &json!({"firmware_id": firmware})).await.unwrap();
        links.push(device.hears("its update", is("ota_update")).await.0["url"].clone());
        device.reports(1, 1, "received").await;
        device.reports(1, 1, word).await;
        update_is(&world, &api, id, word).await;
        device.forgets();
    }
    api.post(&format!("/firmware/{firmware}/withdraw"), &json!({"reason": "it bricks"})).await.unwrap();
    // At once, as a device does after an interrupted download.
    early.says("commands/get", &json!({})).await;
    early.hears("the cancel", is("cancel")).await;
    assert_eq!((status_of(&links[0]).await, status_of(&links[1]).await), (410, 200));
    early.hears_retained(&world, "the cancel", is("cancel")).await;
    far.says("commands/get", &json!({})).await;
    let again = far.hears("its current command", |_| true).await.0;
    assert_eq!((&again["command"], status_of(&again["url"]).await), (&json!("ota_update"), 200));

    early.reports(1, 1, "cancelled").await;
    let ended = update_is(&world, &api, "d-early", "cancelled").await;
    assert_eq!(ended["reason"], "firmware_withdrawn", "{ended}");
    early.forgets();
    early.says("commands/get", &json!({})).await;
    early.hears("that there is nothing to do", is("none")).await;
    far.boots("b2", "2.0.0").await;
    update_is(&world, &api, "d-far", "confirmed").await;
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_answers_late_takes_a_slot_and_delays_further_grants() {
    let world = World::start_with(&["--dispatch-patience-seconds", "1"]).await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let mut devices = Vec::new();
    for id in ["d-0", "d-1", "d-2"] {
        devices.push((id, online(&world, &api, id).await));
    }
    let campaign = json!({"deployment_strategy": "immediate", "max_concurrent_updates": 1});
    let campaign = world.campaign(&api, &firmware, campaign).await;
    let status = format!("/campaigns/{campaign}/status");
    let in_use = |body: &Value| body["waves"][0]["in_use"].as_u64();
    // A commanded device doesn't answer, so the next one gets the slot.
    let told = async || {
        let updates = api.get(&format!("/updates?campaign_id={campaign}&limit=10")).await.unwrap();
        let items = updates["items"].as_array().unwrap().clone();
        items.into_iter().map(|update| update["device_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.until("two were commanded", async || told().await.len() >= 2).await;
    let first: Vec<String> = told().await.into_iter().take(2).collect();
    for (id, device) in devices.iter().filter(|(id, _)| first.iter().any(|told| told == id)) {
        device.reports(1, 1, "received").await;
        device.reports(1, 1, "downloading").await;
        update_is(&world, &api, id, "downloading").await;
    }
    world.until_get(&api, &status, "both count", |body| in_use(body) >= Some(2)).await;
    for (id, device) in devices.iter().filter(|(id, _)| first.iter().any(|told| told == id)) {
        device.installs(1, 1, "b2", "2.0.0").await;
        update_is(&world, &api, id, "confirmed").await;
    }
    world.settles().await;
    let (id, last) = devices.iter().find(|(id, _)| first.iter().all(|told| told != id)).unwrap();
    last.says("commands/get", &json!({})).await;
    last.hears("its turn", is("ota_update")).await;
    last.installs(1, 1, "b2", "2.0.0").await;
    update_is(&world, &api, id, "confirmed").await;
    let ended = world.campaign_is(&api, &campaign, &["completed"]).await;
    assert_eq!((&ended["progress_percent"], in_use(&ended)), (&json!(100.0), Some(0)), "{ended}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_after_a_cancelled_one_updates_all_devices_and_ends_without_decommissioned_ones() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let (one, gone) = (online(&world, &api, "d-one").await, online(&world, &api, "d-gone").await);
    let first = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    for (id, device) in [("d-one", &one), ("d-gone", &gone)] {
        device.hears("its update", is("ota_update")).await;
        device.reports(1, 1, "received").await;
        device.reports(1, 1, "downloading").await;
        update_is(&world, &api, id, "downloading").await;
    }
    api.post(&format!("/campaigns/{first}/cancel"), &json!({"reason": "wrong time"})).await.unwrap();
    let second = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    let enrolled = world.campaign_is(&api, &second, &["running"]).await;
    assert_eq!(enrolled["enrolled"], 2, "{enrolled}");
    one.hears("the cancel", is("cancel")).await;
    one.reports(1, 1, "cancelled").await;
    one.hears("its second update", |heard| is("ota_update")(heard) && heard["ordinal"] == 2).await;
    one.installs(2, 1, "b2", "2.0.0").await;
    let half = world.until_get(&api, &format!("/campaigns/{second}/status"), "half", |b| b["confirmed"] == 1).await;
    assert_eq!(half["progress_percent"], 50.0, "{half}");

    let removed = api.send(Method::DELETE, "/devices/d-gone", Some(&json!({"reason": "scrapped"}))).await.unwrap();
    assert_eq!(removed.status, 200, "{}", removed.body);
    let ended = world.campaign_is(&api, &second, &["completed"]).await;
    let counts = (&ended["confirmed"], &ended["status_counts"]["cancelled"], &ended["progress_percent"]);
    assert_eq!(counts, (&json!(1), &json!(1), &json!(100.0)), "{ended}");
    world.read_models_equal_a_replay().await;
}

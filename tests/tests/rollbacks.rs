//! Devices and campaigns go back to what ran before.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::{Behaviour, DeviceSpec};

use crate::world::{ManualDevice, World, devices};

/// The refusal of a rollback: its status, code and reason.
async fn refused(api: &ApiClient, device: &str, order: Value) -> (u16, String, Value) {
    let reply = api.send(Method::POST, &format!("/devices/{device}/rollback"), Some(&order)).await.unwrap();
    let code = reply.body["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    (reply.status.as_u16(), code, reply.body["facts"]["reason"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_goes_back_to_what_it_ran_before() {
    let world = World::start().await;
    let api = world.operator().await;
    let newer = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(2)).await;
    let nothing = refused(&api, "d-0", json!({"reason": "r"})).await;
    assert_eq!(nothing, (409, "rollback_impossible".to_owned(), json!("no_previous_version")));
    let update = api.post("/devices/d-0/update", &json!({"firmware_id": newer})).await.unwrap();
    let path = format!("/updates/{}", update["update_id"].as_str().unwrap());
    world.until_get(&api, &path, "the update is confirmed", |body| body["phase"] == "confirmed").await;

    let unknown = refused(&api, "d-0", json!({"reason": "r"})).await;
    assert_eq!(unknown, (409, "rollback_impossible".to_owned(), json!("firmware_unknown")));
    let never = refused(&api, "d-0", json!({"reason": "r", "to_version": "7.0.0"})).await;
    assert_eq!(never, (409, "rollback_impossible".to_owned(), json!("never_ran")));
    let older = world.firmware(&api, "1.0.0").await;
    let order = json!({"reason": "2.0.0 loses its network"});
    let keyed = async || {
        let path = format!("{}/api/v1/devices/d-0/rollback", api.base());
        let request = api.http().post(path).bearer_auth(api.token()).header("Idempotency-Key", "k").json(&order);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let rollback = keyed().await;
    assert_eq!(keyed().await["update_id"], rollback["update_id"], "the same request again");
    let names = (&rollback["kind"], &rollback["version"], &rollback["from_version"], &rollback["status"]);
    assert_eq!(names, (&json!("rollback"), &json!("1.0.0"), &json!("2.0.0"), &json!("rollback")), "{rollback}");
    let path = format!("/updates/{}", rollback["update_id"].as_str().unwrap());
    world.until_get(&api, &path, "the rollback is confirmed", |body| body["phase"] == "confirmed").await;
    let device = api.get("/devices/d-0").await.unwrap();
    assert_eq!(device["firmware_version"], "1.0.0", "{device}");
    assert_eq!(fleet.status().versions.get("1.0.0"), Some(&2), "{:?}", fleet.status().versions);

    let list = api.get("/rollbacks?count=true").await.unwrap();
    let of_device = api.get("/devices/d-0/rollbacks").await.unwrap();
    assert_eq!((&list["total"], &list["items"]), (&json!(1), &of_device["items"]));
    let found = &list["items"][0];
    let said = json!({
        "from_version": "2.0.0", "to_version": "1.0.0", "firmware_id": older, "mode": "manual", "outcome": "confirmed",
        "reason": "2.0.0 loses its network", "rolls_back": update["update_id"], "campaign_id": null,
    });
    for (field, value) in said.as_object().unwrap() {
        assert_eq!(&found[field], value, "{field} of {found}");
    }
    assert!(found["requested_by"].as_str().unwrap().starts_with("user:"), "{found}");
    assert_eq!(api.get("/devices/d-1/rollbacks").await.unwrap()["items"], json!([]));

    let back = api.post("/devices/d-0/rollback", &json!({"reason": "not it", "to_version": "2.0.0"})).await.unwrap();
    assert_eq!(back["version"], "2.0.0", "to any version that it ran");
    world.until_get(&api, "/devices/d-0", "it runs 2.0.0 again", |body| body["firmware_version"] == "2.0.0").await;
    api.post(&format!("/firmware/{older}/withdraw"), &json!({"reason": "r"})).await.unwrap();
    let withdrawn = refused(&api, "d-0", json!({"reason": "r"})).await;
    assert_eq!(withdrawn.2, json!("firmware_withdrawn"));
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firmware_that_devices_could_go_back_to_is_deleted_only_by_force() {
    let world = World::start().await;
    let api = world.operator().await;
    let (older, newer) = (world.firmware(&api, "1.0.0").await, world.firmware(&api, "2.0.0").await);
    let unused = world.firmware(&api, "0.1.0").await;
    let fleet = world.online_fleet(&api, devices(3)).await;
    let id = world.campaign(&api, &newer, json!({"waves": [{"percentage": 100}]})).await;
    world.campaign_is(&api, &id, &["completed"]).await;

    let (path, needed) = (format!("/firmware/{older}"), json!({"devices": 3, "more": false, "campaigns": [id]}));
    assert_eq!(api.get(&path).await.unwrap()["needed_for_rollback"], needed);
    let refused = api.send(Method::DELETE, &path, Some(&json!({"reason": "old"}))).await.unwrap();
    let code = refused.body["type"].as_str().unwrap();
    assert_eq!((refused.status.as_u16(), code), (409, "/problems/firmware_needed_for_rollback"), "{}", refused.body);
    assert_eq!(refused.body["facts"], needed);
    let other =
        api.send(Method::DELETE, &format!("/firmware/{unused}"), Some(&json!({"reason": "old"}))).await.unwrap();
    assert_eq!(other.status.as_u16(), 200, "nobody came from it: {}", other.body);

    let forced = json!({"reason": "it has a hole", "force": true});
    let deleted = api.send(Method::DELETE, &path, Some(&forced)).await.unwrap();
    assert_eq!(deleted.status.as_u16(), 200, "{}", deleted.body);
    let history = api.get(&format!("{path}/history?limit=200")).await.unwrap();
    let last = history["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["reason"], &last["event"]["rollbacks_given_up"]), (&json!("it has a hole"), &json!(3)), "{last}");
    world.until_get(&api, &path, "it is deleted", |body| body["status"] == "deleted").await;
    assert_eq!(api.get(&path).await.unwrap()["needed_for_rollback"], Value::Null);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

/// A member of a campaign.
async fn members(api: &ApiClient, id: &str, query: &str) -> Vec<Value> {
    let page = api.get(&format!("/campaigns/{id}/devices?limit=200&{query}")).await.unwrap();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_half_done_goes_back() {
    let world = World::start().await;
    let api = world.operator().await;
    world.firmware(&api, "1.0.0").await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(12).into_iter().enumerate().map(|(n, device)| match n {
        // Its old version was never uploaded.
        0 => DeviceSpec { firmware_version: "0.9.0".to_owned(), ..device },
        _ => device,
    });
    let fleet = world.online_fleet(&api, specs.collect()).await;
    let waves = json!([{"percentage": 50, "advance": "manual"}, {"percentage": 100}]);
    let id = world.campaign(&api, &firmware, json!({"waves": waves, "max_concurrent_updates": 3})).await;
    let (path, status) = (format!("/campaigns/{id}"), format!("/campaigns/{id}/status"));
    world.until_get(&api, &status, "wave 1 is completed", |body| body["waits_for"][0]["kind"] == "operator").await;

    let refused = api.send(Method::POST, &format!("{path}/rollback"), Some(&json!({}))).await.unwrap();
    assert_eq!(refused.status.as_u16(), 422, "a reason is needed: {}", refused.body);
    let begun = api.post(&format!("{path}/rollback"), &json!({"reason": "2.0.0 heats up"})).await.unwrap();
    assert_eq!(begun["status"], "rolling_back", "{begun}");
    let done = world.campaign_is(&api, &id, &["rolled_back"]).await;
    let stays = members(&api, &id, "phase=confirmed").await.len() as u64;
    let counts = &done["status_counts"];
    assert_eq!((&counts["rolled_back"], &counts["cancelled"]), (&json!(6 - stays), &json!(6)), "{done}");
    assert_eq!((&done["rollbacks"], &done["progress_percent"]), (&json!(6 - stays), &json!(100.0)), "{done}");
    assert_eq!((&done["rollback"]["mode"], &done["rollback"]["reason"]), (&json!("manual"), &json!("2.0.0 heats up")));
    for member in members(&api, &id, "phase=confirmed").await {
        let why = (&member["device_id"], &member["rollback_obstacle"]);
        assert_eq!(why, (&json!("d-0"), &json!("firmware_unknown")), "{member}");
    }
    let versions = fleet.status().versions;
    assert_eq!(versions.get("2.0.0").copied().unwrap_or(0), stays, "{versions:?}");
    assert!(fleet.status().working_peak <= 3, "{} devices at work at once", fleet.status().working_peak);
    let list = api.get(&format!("/rollbacks?campaign_id={id}&count=true")).await.unwrap();
    assert_eq!(list["total"], json!(6 - stays), "{list}");
    let first = &list["items"][0];
    assert_eq!((&first["reason"], &first["outcome"]), (&json!("2.0.0 heats up"), &json!("confirmed")), "{first}");
    assert!(first["requested_by"].as_str().unwrap().starts_with("user:"), "{first}");

    // What was missing is uploaded, and the rest goes back.
    if stays > 0 {
        world.firmware(&api, "0.9.0").await;
        api.post(&format!("{path}/rollback"), &json!({"reason": "now it is there"})).await.unwrap();
        world.until_get(&api, "/devices/d-0", "d-0 is back", |body| body["firmware_version"] == "0.9.0").await;
        world.campaign_is(&api, &id, &["rolled_back"]).await;
    }
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gate_takes_the_fleet_back_by_itself() {
    let world = World::start().await;
    let api = world.operator().await;
    world.firmware(&api, "1.0.0").await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(12).into_iter().enumerate().map(|(n, device)| match n % 3 {
        0 => DeviceSpec { behaviour: Behaviour { fail: true, ..device.behaviour }, ..device },
        _ => device,
    });
    let fleet = world.online_fleet(&api, specs.collect()).await;
    let wanted = json!({"auto_rollback": true, "gate_min_settled": 6, "waves": [{"percentage": 100}]});
    let id = world.campaign(&api, &firmware, wanted).await;
    let done = world.campaign_is(&api, &id, &["rolled_back"]).await;
    assert_eq!(done["rollback"]["mode"], "automatic", "{done}");
    assert_eq!(done["last_gate"]["rollback"], "begun", "{done}");
    assert!(done["status_counts"]["rolled_back"].as_u64().unwrap() >= 1, "{done}");
    let versions = fleet.status().versions;
    assert_eq!(versions.get("2.0.0").copied().unwrap_or(0), 0, "nobody keeps it: {versions:?}");
    let list = api.get("/rollbacks?mode=automatic&count=true").await.unwrap();
    assert_eq!(list["total"], done["status_counts"]["rolled_back"], "{list}");
    let history = api.get(&format!("/campaigns/{id}/history?limit=200")).await.unwrap();
    let types: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let closed = types.iter().position(|kind| *kind == "campaign.gate_closed").unwrap();
    assert_eq!(types[closed + 1], "campaign.rolling_back", "{types:?}");
    assert_eq!(*types.last().unwrap(), "campaign.rolled_back");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

/// Devices that the test plays, online with 1.0.0.
async fn four_by_hand(world: &World, api: &ApiClient) -> Vec<ManualDevice> {
    world.register(api, &devices(4)).await;
    let mut fleet = Vec::new();
    for n in 0..4 {
        let device = world.manual_device(&format!("d-{n}")).await;
        device.boots("b1", "1.0.0").await;
        fleet.push(device);
    }
    world.online(api, 4).await;
    fleet
}

fn is_update(ordinal: u64) -> impl Fn(&Value) -> bool {
    move |command| command["command"] == "ota_update" && command["ordinal"] == ordinal
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_are_away_at_work_or_between_attempts_go_back_across_a_kill() {
    let mut world = World::start_with(&["--offline-debounce-seconds", "1"]).await;
    let api = world.operator().await;
    world.firmware(&api, "1.0.0").await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = four_by_hand(&world, &api).await;
    let wanted = json!({"waves": [{"percentage": 100}], "gate_min_settled": 100, "max_retries": 10});
    let id = world.campaign(&api, &firmware, wanted).await;
    for device in &fleet {
        device.hears("its update", is_update(1)).await;
    }
    let phase = async |device: usize, ordinal: u64, wanted: &str| {
        let path = format!("/devices/d-{device}/updates/{ordinal}");
        world.until_get(&api, &path, &format!("{path} is {wanted}"), |body| body["phase"] == wanted).await;
    };
    // One has it, one has it and leaves, one is between two attempts, one installs.
    fleet[0].installs(1, 1, "b2", "2.0.0").await;
    fleet[1].installs(1, 1, "b2", "2.0.0").await;
    // The pause after the fifth attempt is long enough.
    for attempt in 1..=5 {
        fleet[2].hears("its next attempt", |command| is_update(1)(command) && command["attempt"] == attempt).await;
        fleet[2].reports(1, attempt, "received").await;
        let failed = json!({"attempt": attempt, "status": "failed", "code": "download_failed"});
        fleet[2].says("updates/1/status", &failed).await;
    }
    for word in ["received", "downloading", "verifying", "installing"] {
        fleet[3].reports(1, 1, word).await;
    }
    for (device, wanted) in [(0, "confirmed"), (1, "confirmed"), (2, "waiting"), (3, "installing")] {
        phase(device, 1, wanted).await;
    }
    fleet[1].says("status", &json!({"status": "offline", "session": "s-b2"})).await;
    world.until_get(&api, "/devices/d-1", "d-1 has left", |body| body["status"] == "offline").await;

    api.post(&format!("/campaigns/{id}/rollback"), &json!({"reason": "it heats up"})).await.unwrap();
    fleet[0].hears("its rollback", is_update(2)).await;
    world.kill_waybill();
    fleet[0].installs(2, 1, "b3", "1.0.0").await;
    world.start_waybill().await;
    let phase = async |device: usize, ordinal: u64, wanted: &str| {
        let path = format!("/devices/d-{device}/updates/{ordinal}");
        world.until_get(&api, &path, &format!("{path} is {wanted}"), |body| body["phase"] == wanted).await;
    };
    phase(0, 2, "confirmed").await;
    phase(2, 1, "cancelled").await;
    let status = format!("/campaigns/{id}/status");
    let waiting = api.get(&status).await.unwrap();
    assert_eq!((&waiting["status"], &waiting["rollback"]["waiting"]), (&json!("rolling_back"), &json!(1)), "{waiting}");

    // It was past the point of no return: it gets there, and then goes back.
    fleet[3].reports(1, 1, "rebooting").await;
    fleet[3].boots("b2", "2.0.0").await;
    fleet[3].hears("its rollback", is_update(2)).await;
    fleet[3].installs(2, 1, "b3", "1.0.0").await;
    phase(3, 2, "confirmed").await;
    fleet[1].boots("b3", "2.0.0").await;
    fleet[1].hears("its rollback", is_update(2)).await;
    fleet[1].installs(2, 1, "b4", "1.0.0").await;
    let done = world.campaign_is(&api, &id, &["rolled_back"]).await;
    let counts = &done["status_counts"];
    assert_eq!((&counts["rolled_back"], &counts["cancelled"]), (&json!(3), &json!(1)), "{done}");
    assert_eq!(api.get("/devices/d-2/rollbacks").await.unwrap()["items"], json!([]), "it never left 1.0.0");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_on_half_of_the_devices_stops() {
    let world = World::start().await;
    let api = world.operator().await;
    world.firmware(&api, "1.0.0").await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = four_by_hand(&world, &api).await;
    let wanted = json!({"waves": [{"percentage": 100}], "gate_min_settled": 2});
    let id = world.campaign(&api, &firmware, wanted).await;
    for device in &fleet {
        device.hears("its update", is_update(1)).await;
        device.installs(1, 1, "b2", "2.0.0").await;
    }
    world.campaign_is(&api, &id, &["completed"]).await;
    let (path, status) = (format!("/campaigns/{id}"), format!("/campaigns/{id}/status"));
    api.post(&format!("{path}/rollback"), &json!({"reason": "too late"})).await.unwrap();
    let list = format!("/rollbacks?campaign_id={id}");
    world.until_get(&api, &list, "all begin", |body| body["items"].as_array().unwrap().len() == 4).await;
    for device in &fleet[..2] {
        device.hears("its rollback", is_update(2)).await;
        device.reports(2, 1, "received").await;
        let failed = json!({"attempt": 1, "status": "failed", "code": "signature_invalid"});
        device.says("updates/2/status", &failed).await;
    }
    let paused = world.campaign_is(&api, &id, &["paused"]).await;
    assert_eq!(
        (&paused["gate"]["gate"], &paused["gate"]["threshold_percent"]),
        (&json!("rollback"), &json!(50)),
        "{paused}"
    );
    assert_eq!(paused["status_counts"]["rollback_failed"], 2, "{paused}");
    assert_eq!(paused["gate"]["evidence"]["devices"].as_array().unwrap().len(), 2, "{paused}");
    let closed = api.send(Method::POST, &format!("{path}/resume"), Some(&json!({}))).await.unwrap();
    assert_eq!(closed.status.as_u16(), 409, "{}", closed.body);
    let accepted = json!({"accept_failures": true, "reason": "these two are broken"});
    let is_idle = |body: &Value| body["waves"][0]["in_use"] == 0;
    world.until_get(&api, &status, "unanswered commands are taken back", is_idle).await;
    fleet.iter().for_each(|device| device.forgets());
    api.post(&format!("{path}/resume"), &accepted).await.unwrap();
    for device in &fleet[2..] {
        let (command, _) = device.hears("its rollback again", is_update(2)).await;
        device.installs(2, command["attempt"].as_u64().unwrap(), "b3", "1.0.0").await;
    }
    let done = world.campaign_is(&api, &id, &["rolled_back"]).await;
    let counts = &done["status_counts"];
    assert_eq!((&counts["rolled_back"], &counts["rollback_failed"]), (&json!(2), &json!(2)), "{done}");
    let history = api.get(&format!("{path}/history?limit=200")).await.unwrap();
    let last = history["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["event"]["evidence"]["failed"]), (&json!("campaign.rolled_back"), &json!(2)));
    world.read_models_equal_a_replay().await;
}

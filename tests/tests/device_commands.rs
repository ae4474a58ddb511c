//! Commands beside updates, and logs of updates, with a device played by the test.

use reqwest::Method;
use rumqttc::{PublishOptions, QoS};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, World};

async fn register(api: &ApiClient, id: &str) {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
}

/// Sends a command; returns its number.
async fn send(api: &ApiClient, id: &str, command: &Value) -> u64 {
    let reply = api.send(Method::POST, &format!("/devices/{id}/commands"), Some(command)).await.unwrap();
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body["n"].as_u64().unwrap()
}

async fn state_is(world: &World, api: &ApiClient, id: &str, n: u64, state: &str) -> Value {
    let path = format!("/devices/{id}/commands/{n}");
    world.until_get(api, &path, &format!("command {n} is {state}"), |body| body["state"] == state).await
}

fn is_run(n: u64) -> impl Fn(&Value) -> bool {
    move |command| command["n"] == n
}

/// How often the device's history has each event of a command.
async fn count(api: &ApiClient, id: &str, event: &str, n: u64) -> usize {
    let history = api.get(&format!("/devices/{id}/history?limit=200")).await.unwrap();
    let events = history["items"].as_array().unwrap().iter();
    events.filter(|item| item["type"] == event && item["event"]["n"] == n).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_run_once_whatever_fails() {
    let mut world = World::start().await;
    let api = world.operator().await;
    register(&api, "d-1").await;
    let wanted = json!({"name": "report", "params": {"lines": 5}, "expires_in_s": 600});
    assert_eq!(send(&api, "d-1", &wanted).await, 1);
    for n in 2..=8 {
        assert_eq!(send(&api, "d-1", &json!({"name": "reboot"})).await, n);
    }
    let ninth = api.send(Method::POST, "/devices/d-1/commands", Some(&wanted)).await.unwrap();
    assert_eq!(
        (ninth.status.as_u16(), ninth.body["type"].as_str().unwrap().ends_with("command_queue_full")),
        (409, true)
    );
    for n in 3..=8 {
        let reply = api.post(&format!("/devices/d-1/commands/{n}/cancel"), &json!({})).await.unwrap();
        assert_eq!(reply["state"], "cancelled", "{reply}");
    }
    let queued = api.get("/devices/d-1/commands?state=queued&order=asc&count=true").await.unwrap();
    assert_eq!((&queued["total"], &queued["items"][0]["n"]), (&json!(2), &json!(1)), "{queued}");

    // The device was offline. Now it connects, and gets one after the other.
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    let (command, _) = device.hears_run("its command", is_run(1)).await;
    assert_eq!((&command["name"], &command["params"]), (&wanted["name"], &wanted["params"]), "{command}");
    assert!((1..=600).contains(&command["expires_in_s"].as_u64().unwrap()), "{command}");
    device.answers_run(1, &json!({"status": "accepted"})).await;
    state_is(&world, &api, "d-1", 1, "accepted").await;
    for _ in 0..2 {
        device.answers_run(1, &json!({"status": "done", "message": "5 lines", "result": {"lines": 5}})).await;
    }
    device.answers_run(1, &json!({"status": "accepted"})).await;
    device.hears_run("the next command", is_run(2)).await;
    let done = state_is(&world, &api, "d-1", 1, "done").await;
    assert_eq!((&done["result"], &done["message"]), (&json!({"lines": 5}), &json!("5 lines")), "{done}");

    // Waybill is killed between *sent* and *accepted*.
    world.kill_waybill();
    device.answers_run(2, &json!({"status": "accepted"})).await;
    world.start_waybill().await;
    state_is(&world, &api, "d-1", 2, "accepted").await;
    let (_, retained) = world.manual_device("d-1").await.hears_run("the retained command", is_run(2)).await;
    assert!(retained, "it stays until the command has ended");
    device.boots("b2", "1.0.0").await;
    state_is(&world, &api, "d-1", 2, "done").await;
    device.hears_run("that there is nothing to run", Value::is_null).await;
    for (event, n, wanted) in [
        ("command.sent", 1, 1),
        ("command.accepted", 1, 1),
        ("command.done", 1, 1),
        ("command.sent", 2, 1),
        ("command.accepted", 2, 1),
        ("command.done", 2, 1),
        ("command.sent", 3, 0),
    ] {
        assert_eq!(count(&api, "d-1", event, n).await, wanted, "{event} {n}");
    }

    expires(&world, &api, &device).await;
    waits_while_frozen(&world, &api, &device).await;
    world.read_models_equal_a_replay().await;
}

/// A command without an answer ends by its time, and what the device says later is only noted.
async fn expires(world: &World, api: &ApiClient, device: &crate::world::ManualDevice) {
    register(api, "d-2").await;
    let offline = send(api, "d-2", &json!({"name": "report", "expires_in_s": 1})).await;
    let n = send(api, "d-1", &json!({"name": "report", "expires_in_s": 2})).await;
    device.hears_run("its command", is_run(n)).await;
    device.forgets();
    state_is(world, api, "d-1", n, "expired").await;
    state_is(world, api, "d-2", offline, "expired").await;
    device.hears_run("that there is nothing to run", Value::is_null).await;
    device.answers_run(n, &json!({"status": "done"})).await;
    let path = format!("/devices/d-1/commands/{n}");
    let late = world.until_get(api, &path, "a late end", |body| body["late_status"] == "done").await;
    assert_eq!(late["state"], "expired", "{late}");
    device.answers_run(99, &json!({"status": "done"})).await;
    let unknown =
        |body: &Value| body["items"].as_array().unwrap().iter().any(|item| item["reason"] == "no_such_command");
    world.until_get(api, "/devices/d-1/dead-letters", "a dead letter", unknown).await;
}

/// Nothing is sent to the devices of a frozen tenant; its commands wait.
async fn waits_while_frozen(world: &World, api: &ApiClient, device: &crate::world::ManualDevice) {
    api.post("/freeze", &json!({"reason": "test"})).await.unwrap();
    device.forgets();
    let n = send(api, "d-1", &json!({"name": "collect_logs"})).await;
    // The bridge answers from the same state, and finds nothing to run.
    device.says("commands/get", &json!({})).await;
    device.hears("an answer", |command| command["command"] == "none").await;
    world.settles().await;
    assert!(!device.has_heard_run());
    api.post("/unfreeze", &json!({"reason": "test"})).await.unwrap();
    device.hears_run("its command", is_run(n)).await;
    device.answers_run(n, &json!({"status": "refused", "code": "unsupported"})).await;
    let refused = state_is(world, api, "d-1", n, "refused").await;
    assert_eq!(refused["code"], "unsupported", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_update_can_be_read() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    register(&api, "d-1").await;
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    api.post("/devices/d-1/update", &json!({"firmware_id": firmware})).await.unwrap();
    device.hears("its command", |command| command["ordinal"] == 1).await;
    let options = || PublishOptions::new(QoS::AtLeastOnce);
    for piece in ["booting\n", "<script>alert(1)</script>\u{1b}[31m\n"] {
        device.publishes("/updates/1/log", piece, options()).await;
    }
    device.publishes("/updates/1/log", &"x".repeat(16 * 1024 + 1), options()).await;
    device.publishes("/updates/2/log", "no such update", options()).await;
    let path = "/devices/d-1/updates/1/log";
    let two = |body: &Value| body["items"].as_array().unwrap().len() == 2;
    let log = world.until_get(&api, path, "two pieces", two).await;
    assert_eq!(log["items"][0]["text"], "booting\n", "{log}");
    assert_eq!(log["items"][1]["text"], "<script>alert(1)</script>\u{fffd}[31m\n", "{log}");
    let page = api.get(&format!("{path}?limit=1")).await.unwrap();
    let next = api.get(&format!("{path}?limit=1&cursor={}", page["next_cursor"].as_str().unwrap())).await.unwrap();
    assert_eq!((&page["items"][0], &next["items"][0]), (&log["items"][0], &log["items"][1]));
    let reply = api.http().get(format!("{}/api/v1{path}", world.base())).bearer_auth(api.token()).send().await.unwrap();
    assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
    assert_eq!(reply.headers()["content-type"], "application/json");
    let reasons =
        |body: &Value, wanted: &str| body["items"].as_array().unwrap().iter().any(|item| item["reason"] == wanted);
    let both = |body: &Value| reasons(body, "malformed") && reasons(body, "no_such_update");
    world.until_get(&api, "/devices/d-1/dead-letters", "two dead letters", both).await;
    let unknown = api.send(Method::GET, "/devices/d-1/updates/7/log", None).await.unwrap();
    assert_eq!(unknown.status, 404);
}

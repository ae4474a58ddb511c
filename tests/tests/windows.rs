//! Maintenance windows: no device begins to install while its window is closed.

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::Pace;

use crate::world::{MODEL, World, devices};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A daily window of an hour that opens in this number of minutes.
fn opens_in(minutes: i64) -> Value {
    let start = (runtime::clock::now() + TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    json!([{"days": DAYS, "start": start, "duration_minutes": 60}])
}

async fn adjust(api: &ApiClient, id: &str, windows: Value) {
    let wanted = json!({"maintenance_window": windows, "reason": "the shift has changed"});
    let reply = api.send(Method::PATCH, &format!("/campaigns/{id}"), Some(&wanted)).await.unwrap();
    assert_eq!(
        (reply.status.as_u16(), &reply.body["maintenance_window"]),
        (200, &windows_shown(&windows)),
        "{}",
        reply.body
    );
}

/// Windows as replies show them.
fn windows_shown(windows: &Value) -> Value {
    let mut windows = windows.clone();
    windows[0]["timezone"] = json!("UTC");
    windows
}

fn kinds(body: &Value) -> Vec<&str> {
    body["waits_for"].as_array().into_iter().flatten().filter_map(|wait| wait["kind"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_closes_before_a_device_installs_makes_it_wait_for_the_next() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(3);
    world.register(&api, &specs).await;
    let pace = Pace { verify: std::time::Duration::from_secs(5), ..Pace::default() };
    let fleet = world.fleet_at_pace(specs, pace);
    world.online(&api, 3).await;
    let windows = json!({"deployment_strategy": "immediate", "maintenance_window": opens_in(-30)});
    let id = world.campaign(&api, &firmware, windows).await;
    let status = format!("/campaigns/{id}/status");
    let verifying = |body: &Value| body["status_counts"]["verifying"] == 3;
    world.until_get(&api, &status, "all devices verify", verifying).await;

    adjust(&api, &id, opens_in(120)).await;
    let closed = world.until_get(&api, &status, "it waits for its window", |body| kinds(body) == ["window"]).await;
    let wait = &closed["waits_for"][0];
    let until: chrono::DateTime<Utc> = wait["until"].as_str().unwrap().parse().unwrap();
    let minutes = (until - runtime::clock::now()).num_minutes();
    assert_eq!((&wait["count"], (117..=120).contains(&minutes)), (&json!(3), true), "{closed}");
    assert_eq!((&closed["status_counts"]["deferred"], fleet.status().installs), (&json!(3), 0), "{closed}");

    adjust(&api, &id, opens_in(-1)).await;
    let ended = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!((&ended["confirmed"], &ended["failed"]), (&json!(3), &json!(0)), "{ended}");
    let played = fleet.status();
    assert_eq!((played.installs, played.repeated_installs), (3, 0));
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_is_activated_only_while_the_window_is_open() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(2);
    let fleet = world.online_fleet(&api, specs).await;
    let waves = json!([{"percentage": 50, "advance": "manual"}, {"percentage": 100}]);
    let wanted = json!({"deployment_strategy": "blue_green", "waves": waves, "maintenance_window": opens_in(-30)});
    let id = world.campaign(&api, &firmware, wanted).await;
    let status = format!("/campaigns/{id}/status");
    let have_staged = |body: &Value| body["status_counts"]["staged"] == 2 && kinds(body) == ["operator"];
    world.until_get(&api, &status, "both have staged, and it waits for an operator", have_staged).await;
    adjust(&api, &id, opens_in(120)).await;
    api.post(&format!("/campaigns/{id}/waves/1/open"), &json!({"reason": "all is well"})).await.unwrap();
    world.until_get(&api, &status, "it waits for its window", |body| kinds(body).contains(&"window")).await;
    assert_eq!(fleet.status().versions.get("1.0.0"), Some(&2), "{:?}", fleet.status().versions);

    adjust(&api, &id, opens_in(-1)).await;
    let activated = |body: &Value| body["confirmed"] == 1 && kinds(body).contains(&"operator");
    world.until_get(&api, &status, "one has activated", activated).await;
    // A device that hasn't asked when the window closes stays as it is.
    fleet.stop().await;
    let staged = api.get(&format!("/campaigns/{id}/devices?phase=staged")).await.unwrap();
    let device = world.manual_device(staged["items"][0]["device_id"].as_str().unwrap()).await;
    device.boots("b2", "1.0.0").await;
    api.post(&format!("/campaigns/{id}/waves/2/open"), &json!({"reason": "all is well"})).await.unwrap();
    let (told, _) = device.hears("to activate", |command| command["command"] == "activate").await;
    assert_eq!((&told["install_within_s"], &told["opens_in_s"]), (&json!(0), &Value::Null), "{told}");
    adjust(&api, &id, opens_in(60)).await;
    device.says("commands/get", &json!({})).await;
    let (refusal, _) = device.hears("a refusal", |command| command["opens_in_s"].is_u64()).await;
    assert_eq!((&refusal["command"], &refusal["install_within_s"]), (&json!("activate"), &json!(0)), "{refusal}");
    let (ordinal, opens) = (told["ordinal"].as_u64().unwrap(), &refusal["opens_in_s"]);
    let deferred = json!({"attempt": 1, "status": "deferred", "code": "window_closed", "retry_after_s": opens});
    device.says(&format!("updates/{ordinal}/status"), &deferred).await;
    let waiting =
        world.until_get(&api, &status, "it waits for its window", |body| kinds(body).contains(&"window")).await;
    assert_eq!(waiting["status_counts"]["staged"], 1, "{waiting}");

    device.forgets();
    adjust(&api, &id, opens_in(-1)).await;
    device.hears("to activate", |command| command["command"] == "activate").await;
    device.says("commands/get", &json!({})).await;
    device.hears("a permission", |command| command["install_within_s"].as_u64().is_some_and(|s| s > 0)).await;
    device.reports(ordinal, 1, "rebooting").await;
    device.boots("b3", "2.0.0").await;
    let ended = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!(ended["confirmed"], 2, "{ended}");
    world.read_models_equal_a_replay().await;
}

fn is_update(command: &Value) -> bool {
    command["command"] == "ota_update"
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_answer_says_for_how_long_a_device_may_begin_to_install() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let created =
        json!({"device_id": "d-1", "device_model": MODEL, "firmware_version": "1.0.0", "timezone": "Etc/GMT-5"});
    api.post("/devices", &created).await.unwrap();
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    world.online(&api, 1).await;
    // Five hours ahead of UTC, the window is open.
    let mut windows = opens_in(5 * 60 - 30);
    windows[0]["timezone"] = json!("device");
    let campaign = json!({"deployment_strategy": "immediate", "maintenance_window": windows});
    let id = world.campaign(&api, &firmware, campaign).await;
    let (first, _) = device.hears("its command", is_update).await;
    assert_eq!((&first["install_within_s"], &first["opens_in_s"]), (&json!(0), &Value::Null), "{first}");
    let ordinal = first["ordinal"].as_u64().unwrap();
    for status in ["received", "downloading", "verifying"] {
        device.reports(ordinal, 1, status).await;
    }
    device.hears_retained(&world, "a question", |command| command["install_within_s"] == 0).await;
    device.says("commands/get", &json!({})).await;
    let (answer, retained) =
        device.hears("a permission", |command| command["install_within_s"].as_i64().is_some_and(|s| s > 0)).await;
    let seconds = answer["install_within_s"].as_i64().unwrap();
    assert!(!retained && (1_700..=1_860).contains(&seconds), "{answer}");

    adjust(&api, &id, opens_in(60)).await;
    device.says("commands/get", &json!({})).await;
    let (refusal, _) = device.hears("a refusal", |command| command["opens_in_s"].is_u64()).await;
    let opens_in_s = refusal["opens_in_s"].as_i64().unwrap();
    assert!(refusal["install_within_s"] == 0 && (3_500..=3_601).contains(&opens_in_s), "{refusal}");

    // Without windows every device may begin, also one that asks nothing.
    device.forgets();
    api.send(Method::PATCH, &format!("/campaigns/{id}"), Some(&json!({"maintenance_window": null, "reason": "now"})))
        .await
        .unwrap();
    device
        .hears("a command without a window", |command| is_update(command) && command["install_within_s"].is_null())
        .await;
    device.installs(ordinal, 1, "b2", "2.0.0").await;
    world.campaign_is(&api, &id, &["completed"]).await;
    world.read_models_equal_a_replay().await;
}

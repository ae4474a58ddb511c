//! Devices log in with credentials of their own: who is let in, who isn't, and what a revocation does.

use std::time::Duration;

use chrono::TimeDelta;
use domain::device::DeviceCommand;
use event_store::EventStore;
use futures::future::join_all;
use reqwest::Method;
use runtime::clock;
use serde_json::{Value, json};
use trust::TokenHasher;

use crate::credentials::{CredentialOperator, Issued};
use crate::login::{Client, log_in};
use crate::world::{MODEL, TENANT, World};

/// A revoked device is disconnected within this time.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// Connections are ended for the second time before that.
const ENDED_TWICE: Duration = Duration::from_secs(4);
/// Long enough for a disconnection that must not come.
const MEANWHILE: Duration = Duration::from_secs(1);
/// More devices than are looked for one by one.
const MANY: usize = 80;

/// Writes to the log with the service's secret.
async fn operator_of(world: &World) -> CredentialOperator {
    let secret = std::fs::read(world.data_dir().join("secrets/credentials")).unwrap();
    CredentialOperator { store: EventStore::new(world.log().await), hasher: TokenHasher::new(secret) }
}

async fn registered(world: &World, devices: &[&str]) {
    let api = world.operator().await;
    for device in devices {
        api.post("/devices", &json!({"device_id": device, "device_model": MODEL})).await.unwrap();
    }
}

/// Logs in with the device's own user; `suffix` makes the client id another.
async fn connects(world: &World, device: &str, suffix: &str, token: &str) -> Result<Client, String> {
    let user = format!("{TENANT}/{device}");
    log_in(world.stack.nats.mqtt_listen(), &format!("{user}{suffix}"), &user, token).await
}

async fn outcomes(world: &World, outcome: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let series = format!("waybill_mqtt_logins_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_live_credential_of_the_device_lets_it_in() {
    let world = World::start_closed().await;
    registered(&world, &["d-1", "d-2", "d-3", "d-5"]).await;
    let rival = world.operator_of("rival", &["admin"]).await;
    rival.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let operator = operator_of(&world).await;
    let (own, other) = (operator.issues("d-1").await, operator.issues("d-2").await);
    let of_rival = operator.issues_until("rival", "d-1", None).await;
    let ends = clock::now() + TimeDelta::seconds(2);
    let short = operator.issues_until(TENANT, "d-2", Some(ends)).await;
    let revoked = operator.issues("d-5").await;
    operator.revokes("d-5", &revoked).await;
    let gone = operator.issues("d-3").await;
    operator.commands(TENANT, "d-3", DeviceCommand::Decommission).await;

    let mut device = connects(&world, "d-1", "", &own.token).await.unwrap();
    let status = json!({"status": "online", "session": "s1", "boot_id": "b1", "firmware_version": "1.2.3"}).to_string();
    device.publish("default/devices/d-2/status", &status, false).await;
    device.publish("default/devices/d-1/status", &status, false).await;
    let api = world.operator().await;
    world.until_get(&api, "/devices/d-1", "its status is applied", |body| body["firmware_version"] == "1.2.3").await;
    world.settles().await;
    assert_eq!(api.get("/devices/d-2").await.unwrap()["status"], "never_seen", "it reported as another");

    assert!(connects(&world, "d-2", "", &short.token).await.is_ok());
    tokio::time::sleep((ends - clock::now()).to_std().unwrap_or_default()).await;
    for (device, token, outcome) in [
        ("d-1", &other.token, "wrong_token"),
        ("d-1", &of_rival.token, "wrong_token"),
        ("d-5", &revoked.token, "wrong_token"),
        ("d-2", &short.token, "expired"),
        ("d-3", &gone.token, "decommissioned"),
        ("d-4", &own.token, "no_device"),
    ] {
        let before = outcomes(&world, outcome).await;
        let refused = connects(&world, device, "", token).await.err().unwrap();
        assert!(refused.contains("NotAuthorized"), "{device} {outcome}: {refused}");
        assert_eq!(outcomes(&world, outcome).await, before + 1, "{device} {outcome}");
    }
    let listener = world.stack.nats.mqtt_listen();
    for (id, user, token) in [
        ("default/d-1", "", ""),
        ("default/d-1", "default/d-2", other.token.as_str()),
        ("default/d-1", "rival/d-1", of_rival.token.as_str()),
        ("rival/d-1", "rival/d-1", own.token.as_str()),
    ] {
        assert!(log_in(listener, id, user, token).await.is_err(), "{id} {user}");
    }
    assert!(log_in(listener, "rival/d-1", "rival/d-1", &of_rival.token).await.is_ok());
    assert!(!device.is_ended_within(Duration::from_millis(100)).await, "nobody took its place");
    for secret in [&own, &other, &of_rival, &short, &revoked, &gone].map(|issued| &issued.token) {
        assert!(!world.log_text().contains(secret.as_str()), "a token is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_disconnected_and_others_stay() {
    let mut world = World::start_closed().await;
    registered(&world, &["d-1", "d-2", "d-3"]).await;
    let operator = operator_of(&world).await;
    let (first, second) = (operator.issues("d-1").await, operator.issues("d-1").await);
    let (other, third) = (operator.issues("d-2").await, operator.issues("d-3").await);
    let mut revoked = connects(&world, "d-1", "/a", &first.token).await.unwrap();
    let mut bystander = connects(&world, "d-2", "", &other.token).await.unwrap();
    operator.revokes("d-1", &first).await;
    assert!(revoked.is_ended_within(ENDED_WITHIN).await);
    assert!(connects(&world, "d-1", "/a", &first.token).await.is_err());
    // The device's other credential still lets it in, and is not ended a second time.
    let mut again = connects(&world, "d-1", "/b", &second.token).await.unwrap();
    assert!(!again.is_ended_within(ENDED_TWICE).await);

    // Without Waybill the connections stay, and what was revoked meanwhile ends when it is back.
    let mut waiting = connects(&world, "d-3", "", &third.token).await.unwrap();
    world.kill_waybill();
    operator.revokes("d-1", &second).await;
    operator.commands(TENANT, "d-3", DeviceCommand::Decommission).await;
    assert!(!again.is_ended_within(MEANWHILE).await && !waiting.is_ended_within(MEANWHILE).await);
    world.start_waybill().await;
    assert!(again.is_ended_within(2 * ENDED_WITHIN).await, "revoked while Waybill was away");
    assert!(waiting.is_ended_within(2 * ENDED_WITHIN).await, "decommissioned while Waybill was away");
    assert!(!bystander.is_ended_within(MEANWHILE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_devices_are_disconnected_at_once() {
    let world = World::start_closed().await;
    let ids: Vec<String> = (0..MANY).map(|n| format!("d-{n}")).collect();
    registered(&world, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let operator = operator_of(&world).await;
    let mut connected = Vec::new();
    for id in ids.iter().step_by(MANY / 4) {
        let Issued { token, .. } = operator.issues(id).await;
        connected.push(connects(&world, id, "", &token).await.unwrap());
    }
    join_all(ids.iter().map(|id| operator.commands(TENANT, id, DeviceCommand::Decommission))).await;
    for device in &mut connected {
        assert!(device.is_ended_within(ENDED_WITHIN).await);
    }
}

/// A device that has nothing but a registration token.
async fn registers_itself(world: &World, token: &Value) -> Value {
    let described = json!({"device_id": "SN-1", "device_model": MODEL, "firmware_version": "1.0.0"});
    let url = format!("{}/api/v1/device-registrations", world.base());
    let request = reqwest::Client::new().post(url).bearer_auth(token.as_str().unwrap()).json(&described);
    request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

/// Logs in with what the registration said.
async fn connects_as_told(world: &World, device: &Value) -> Result<Client, String> {
    let [user, id] = ["username", "client_id"].map(|name| device["mqtt"][name].as_str().unwrap());
    log_in(world.stack.nats.mqtt_listen(), id, user, device["token"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_registers_itself_logs_in_and_is_shut_out_by_a_revocation() {
    let world = World::start_closed().await;
    let api = world.operator().await;
    let token = api.post("/registration-tokens", &json!({"devices_max": 1, "id_prefix": "SN-"})).await.unwrap();
    let told = registers_itself(&world, &token["token"]).await;
    let mut device = connects_as_told(&world, &told).await.unwrap();
    let status = json!({"status": "online", "boot_id": "b1", "firmware_version": "1.0.1"}).to_string();
    let topic = format!("{}status", told["mqtt"]["topic_prefix"].as_str().unwrap());
    device.publish(&topic, &status, false).await;
    world.until_get(&api, "/devices/SN-1", "its status is applied", |body| body["firmware_version"] == "1.0.1").await;

    let credential = format!("/devices/SN-1/credentials/{}", told["credential_id"].as_str().unwrap());
    let revoked = api.send(Method::DELETE, &credential, Some(&json!({"reason": "lost"}))).await.unwrap();
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    assert!(device.is_ended_within(ENDED_WITHIN).await);
    assert!(connects_as_told(&world, &told).await.is_err());
    // It still has its registration token, so it comes again.
    let again = registers_itself(&world, &token["token"]).await;
    assert!(connects_as_told(&world, &again).await.is_ok());
    for secret in [&token["token"], &told["token"], &again["token"]] {
        assert!(!world.log_text().contains(secret.as_str().unwrap()), "a token is in the log");
    }
}

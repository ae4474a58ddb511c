//! The latest message of a device counts, also if a bridge freezes or dies while it holds earlier ones.

use std::process::Command;

use serde_json::{Value, json};
use waybill::stack::Process;

use crate::world::{MASTER_KEY, ManualDevice, World, devices};

pub(crate) const SECRETS: [&str; 8] = [
    "--jwt-secret",
    "a secret for tokens that is long enough",
    "--download-secret",
    "a secret for links that is long enough",
    "--credential-secret",
    "a secret for hashes that is long enough",
    "--master-key",
    MASTER_KEY,
];
const DEVICES: usize = 20;
/// Versions of a device after its first and second boot: half of the devices fall back, half run the new version at the second boot.
const FALLS_BACK: [&str; 2] = ["2.0.0", "1.0.0"];
const COMES_THROUGH: [&str; 2] = ["1.0.0", "2.0.0"];
const BATTERY: [u64; 2] = [51, 52];

#[derive(Clone, Copy, Debug)]
enum Accident {
    Thaws,
    Dies,
}

fn signal(process: &Process, name: &str) {
    let status = Command::new("kill").args([name, &process.pid().to_string()]).status().unwrap();
    assert!(status.success(), "{name}");
}

/// Messages that the broker has delivered without acknowledgement, and those that it hasn't delivered.
async fn unfinished(world: &World) -> (u64, u64) {
    let client = waybill::nats::connect(&world.stack.nats.devices_url(), "waybill-test").await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let (mut delivered, mut waiting) = (0, 0);
    for channel in ["status", "info", "telemetry", "reports", "get"] {
        let subject = format!("CONSUMER.INFO.$MQTT_msgs.waybill-bridge-{channel}");
        let info: Value = jetstream.request(subject, &json!({})).await.unwrap();
        delivered += info["num_ack_pending"].as_u64().unwrap_or_else(|| panic!("{channel}: {info}"));
        waiting += info["num_pending"].as_u64().unwrap();
    }
    (delivered, waiting)
}

/// The number of the last message in the stream TELEMETRY.
async fn end_of_telemetry(world: &World) -> u64 {
    let client = waybill::nats::connect(&world.stack.nats.waybill_url(), "waybill-test").await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("TELEMETRY").await.unwrap();
    stream.cached_info().state.last_sequence
}

/// The number of the last message of TELEMETRY that the read models contain.
async fn read_telemetry(world: &World, api: &waybill::api_client::ApiClient) -> u64 {
    let request = api.http().get(format!("{}/health/detailed", world.base())).bearer_auth(api.token());
    let health: Value = request.send().await.unwrap().json().await.unwrap();
    let mut parts = health["components"].as_array().unwrap().iter();
    let presence = parts.find(|part| part["name"] == "projection presence");
    presence.and_then(|part| part["position"].as_u64()).unwrap_or_default()
}

fn versions_of(number: usize) -> [&'static str; 2] {
    if number.is_multiple_of(2) { FALLS_BACK } else { COMES_THROUGH }
}

/// A boot with all its messages. The broker gives messages to the bridges in turn, so devices boot in another order the second time: then
/// one bridge has the first boot of a device and the other one the second.
async fn boots(devices: &[ManualDevice], time: usize) {
    let mut order: Vec<usize> = (0..devices.len()).collect();
    if time > 0 {
        order.reverse();
    }
    for (number, device) in order.into_iter().map(|number| (number, &devices[number])) {
        let boot = format!("b{}", time + 2);
        device.boots(&boot, versions_of(number)[time]).await;
        device.says("info", &json!({"attributes": {"boot": boot}})).await;
        device.says("telemetry", &json!({"battery_level": BATTERY[time]})).await;
    }
}

/// Devices that are about to boot a campaign's firmware.
async fn rebooting(world: &World, api: &waybill::api_client::ApiClient) -> (Vec<ManualDevice>, String) {
    let firmware = world.firmware(api, "2.0.0").await;
    world.register(api, &devices(DEVICES)).await;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let device = world.manual_device(&format!("d-{number}")).await;
        device.boots("b1", "1.0.0").await;
        devices.push(device);
    }
    world.online(api, DEVICES).await;
    let more = json!({"deployment_strategy": "immediate", "max_concurrent_updates": DEVICES});
    let id = world.campaign(api, &firmware, more).await;
    for device in &devices {
        let (command, _) = device.hears("its command", |command| command["command"] == "ota_update").await;
        for word in ["received", "downloading", "verifying", "installing", "rebooting"] {
            device.reports(command["ordinal"].as_u64().unwrap(), 1, word).await;
        }
    }
    let all_reboot = |body: &Value| body["status_counts"]["rebooting"].as_u64() == Some(DEVICES as u64);
    world.until_get(api, &format!("/campaigns/{id}/status"), "all reboot", all_reboot).await;
    (devices, id)
}

async fn what_was_said_last_counts(accident: Accident) {
    let world = World::start_with(&SECRETS).await;
    let api = world.operator().await;
    let mut bridge = world
        .another_process(&[&["--role", "bridge", "--download-base-url", &world.base()][..], &SECRETS].concat())
        .await;
    let (devices, campaign) = rebooting(&world, &api).await;

    signal(&bridge, "-STOP");
    boots(&devices, 0).await;
    boots(&devices, 1).await;
    world.until("every message is delivered to a bridge", async || unfinished(&world).await.1 == 0).await;
    assert!(unfinished(&world).await.0 > 0, "{accident:?}: the frozen bridge has no messages");
    // A heartbeat without news.
    for (number, device) in devices.iter().enumerate() {
        device.boots("b3", versions_of(number)[1]).await;
    }
    match accident {
        Accident::Thaws => signal(&bridge, "-CONT"),
        Accident::Dies => bridge.kill9(),
    }
    world.until("every message is acknowledged", async || unfinished(&world).await == (0, 0)).await;
    world.settles().await;
    let end = end_of_telemetry(&world).await;
    world.until("telemetry is in the read models", async || read_telemetry(&world, &api).await >= end).await;

    for number in 0..DEVICES {
        let [_, version] = versions_of(number);
        let device = api.get(&format!("/devices/d-{number}")).await.unwrap();
        let update = api.get(&format!("/devices/d-{number}/updates/1")).await.unwrap();
        let says = (&device["firmware_version"], &device["attributes"]["boot"], &device["battery_level"]);
        assert_eq!(says, (&json!(version), &json!("b3"), &json!(BATTERY[1])), "{accident:?}: {device}");
        assert_eq!(update["phase"] == "confirmed", version == "2.0.0", "{accident:?}: {update}");
    }
    let status = api.get(&format!("/campaigns/{campaign}/status")).await.unwrap();
    assert_eq!(status["confirmed"], DEVICES / 2, "{accident:?}: {status}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_freezes_during_reboots_confirms_no_wrong_version() {
    what_was_said_last_counts(Accident::Thaws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_dies_during_reboots_confirms_no_wrong_version() {
    what_was_said_last_counts(Accident::Dies).await;
}

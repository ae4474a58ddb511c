//! Events of ChirpStack, by webhook and by its MQTT integration, with a Mosquitto as its broker.

mod broker;

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind, Message};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use event_store::network::{JetStreamRawEvents, RawEvent, RawEvents, RawSource};
use event_store::streams::NETWORK_TENANT_MAX;
use futures::StreamExt;
use futures::stream;
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use self::broker::Broker;
use crate::order::SECRETS;
use crate::world::{TENANT, World};

/// Pause before a webhook that was refused is sent again.
const AGAIN: Duration = Duration::from_millis(200);
/// Events that are put into the queue at the same time.
const FILLED_AT_ONCE: usize = 256;
/// Webhooks under way at a time.
const IN_FLIGHT: usize = 32;

fn eui(n: usize) -> String {
    format!("70b3d5{n:010x}")
}

/// A service with `count` devices with EUIs, and an operator.
async fn with_devices(world: &World, count: usize) -> ApiClient {
    let api = world.operator().await;
    for n in 0..count {
        api.post("/devices", &json!({"device_id": format!("lora-{n}"), "lorawan_dev_eui": eui(n)})).await.unwrap();
    }
    api
}

/// An uplink as ChirpStack 4 sends it.
fn uplink(n: usize, f_cnt: u64, data: &[u8], port: u8) -> Value {
    json!({
        "deduplicationId": format!("00000000-0000-4000-8000-{n:04x}{f_cnt:08x}"), "time": "2026-11-21T03:39:50.977+00:00",
        "deviceInfo": {"applicationId": "fe0631ba-f18b-42ef-99f5-c9a37521a4b8", "devEui": eui(n), "deviceClassEnabled": "CLASS_A", "tags": {}},
        "devAddr": "00112233", "adr": true, "dr": 5, "fCnt": f_cnt, "fPort": port, "confirmed": true, "data": BASE64_STANDARD.encode(data),
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -57, "snr": 9.5, "location": {"latitude": 52.37, "longitude": 4.91}}],
        "txInfo": {"frequency": 868_100_000, "modulation": {"lora": {"bandwidth": 125_000, "spreadingFactor": 7, "codeRate": "CR_4_5"}}},
    })
}

async fn post(world: &World, path: &str, body: &Value) -> u16 {
    post_to(&world.base(), path, body).await
}

async fn post_to(base: &str, path: &str, body: &Value) -> u16 {
    let url = format!("{base}/api/v1/lorawan/webhooks/{path}");
    reqwest::Client::new().post(url).json(body).send().await.map_or(0, |reply| reply.status().as_u16())
}

/// Sends a webhook until it is stored, as a relay with a memory would.
async fn deliver(world: &World, path: &str, body: &Value) {
    while post(world, path, body).await != 200 {
        tokio::time::sleep(AGAIN).await;
    }
}

/// All messages with measurements of a device.
async fn telemetry(api: &ApiClient, n: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/devices/lora-{n}/telemetry?limit=200{cursor}")).await.unwrap();
        items.extend(page["items"].as_array().unwrap().iter().map(|item| item["data"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn frames(items: &[Value]) -> Vec<u64> {
    let mut frames: Vec<u64> = items.iter().filter_map(|data| data["lorawan"]["f_cnt"].as_u64()).collect();
    frames.sort_unstable();
    frames
}

async fn metric(world: &World, name: &str, labels: &[&str]) -> f64 {
    let text = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_every_kind_reach_their_device() {
    let world = World::start_with(&["--offline-debounce-seconds", "1"]).await;
    let api = world.operator().await;
    let wanted = json!({
        "name": "Lab Sensor", "device_type": "lora_sensor", "lorawan_dev_eui": "0102030405060708", "chirpstack_app_id": "1", "device_profile_id": "abc-123",
    });
    let made = api.post("/tenants/default/devices", &wanted).await.unwrap();
    let id = made["device_id"].as_str().unwrap().to_owned();
    let device = format!("/devices/{id}");

    let body = json!({"devEUI": "0102030405060708", "objectJSON": "{\"temp\": 22.5, \"battery\": 85}", "rxInfo": [{"rssi": -95}]});
    assert_eq!(post(&world, "default/uplink", &body).await, 200);
    let is_online =
        |body: &Value| body["status"] == "online" && body["signal_strength"] == -95 && body["battery_level"] == 85;
    world.until_get(&api, &device, "online, with its readings", is_online).await;
    let is_warm = |body: &Value| body["latest"]["temp"]["value"] == 22.5;
    world.until_get(&api, &format!("{device}/telemetry"), "its temperature", is_warm).await;

    // Neither an unknown device nor an unknown kind is the sender's fault.
    let stranger = json!({"devEUI": "ffffffffffffffff", "data": "AQ=="});
    assert_eq!(post(&world, "default/uplink", &stranger).await, 200);
    assert_eq!(post(&world, "default?event=teleported", &body).await, 200);
    assert_eq!(post(&world, "nowhere/uplink", &body).await, 404);
    assert_eq!(post(&world, "default", &json!("nonsense")).await, 200);
    world
        .until("they are counted", async || {
            metric(&world, "waybill_network_events_total", &["unknown_device"]).await == 1.0
                && metric(&world, "waybill_network_events_total", &["unknown_kind"]).await == 1.0
                && metric(&world, "waybill_network_events_total", &["unreadable"]).await == 1.0
        })
        .await;
    let letters = api.get("/dead-letters?reason=malformed").await.unwrap();
    let letter = &letters["items"][0];
    assert_eq!((&letter["source"], &letter["payload"]), (&json!("chirpstack"), &json!("\"nonsense\"")), "{letters}");

    // A boot in the compact codec, with the readings of its uplink.
    let mut boot = uplink(0, 1, &[0x82, 5, 2, 1, 0], 20);
    boot["deviceInfo"]["devEui"] = "0102030405060708".into();
    assert_eq!(post(&world, "default?event=up", &boot).await, 200);
    let has_booted = |body: &Value| body["firmware_version"] == "2.1.0" && body["signal_strength"] == -57;
    world.until_get(&api, &device, "its version, with the readings of its boot", has_booted).await;
    let (path, has_frame) =
        (format!("{device}/telemetry?limit=200"), |body: &Value| body["latest"]["lorawan"]["value"]["f_cnt"] == 1);
    let data = world.until_get(&api, &path, "the uplink of the boot", has_frame).await;
    let radio = &data["latest"]["lorawan"]["value"];
    assert_eq!((&radio["f_cnt"], &radio["confirmed"], &radio["dr"]), (&json!(1), &json!(true), &json!(5)), "{data}");
    assert_eq!((&radio["location"]["latitude"], &radio["snr"]), (&json!(52.37), &json!(9.5)), "{data}");

    let error =
        json!({"devEUI": "AQIDBAUGBwg=", "type": "UPLINK_FCNT_RESET", "error": "the counter was reset", "fCnt": 3});
    assert_eq!(post(&world, "default/error", &error).await, 200);
    let notices = format!("{device}/network-notices");
    let found = world.until_get(&api, &notices, "the notice", |body| body["items"][0].is_object()).await;
    let notice = &found["items"][0];
    assert_eq!((&notice["code"], &notice["level"]), (&json!("UPLINK_F_CNT_RESET"), &json!("error")), "{found}");

    assert_eq!(post(&world, "default/status", &json!({"devEUI": "0102030405060708", "status": "offline"})).await, 200);
    world.until_get(&api, &device, "offline", |body| body["status"] == "offline").await;
    assert_eq!(post(&world, "default/status", &json!({"devEUI": "0102030405060708", "status": "online"})).await, 200);
    world.until_get(&api, &device, "online", |body| body["status"] == "online").await;
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uplink_by_both_ways_counts_once_and_nothing_is_lost_when_waybill_dies() {
    const DEVICES: usize = 8;
    const FRAMES: u64 = 60;
    let mut world = World::start().await;
    let api = with_devices(&world, DEVICES).await;
    let mut broker = Broker::start(world.data_dir()).await;
    let connection = json!({
        "url": "http://127.0.0.1:1", "chirpstack_tenant_id": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242", "api_key": "k",
        "webhook_secret": "a secret of webhooks",
        "mqtt": {
            "url": broker.url(), "ca": broker.ca, "username": broker::USER, "password": broker::PASSWORD,
            "client_certificate": broker.shown.cert, "client_key": broker.shown.key,
        },
    });
    let reply = api.send(Method::PUT, "/tenants/default/chirpstack", Some(&connection)).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    let is_read = async || metric(&world, "waybill_network_mqtt_connections", &[]).await == 1.0;
    world.until("the broker is read", is_read).await;

    // What is signed must be signed right, also in development.
    let url = format!("{}/api/v1/lorawan/webhooks/default?event=up", world.base());
    for (secret, wanted) in [("a secret of webhooks", 200), ("another", 401)] {
        let request = reqwest::Client::new().post(&url).header("X-Waybill-Webhook-Secret", secret);
        assert_eq!(request.json(&uplink(0, 0, &[1], 2)).send().await.unwrap().status(), wanted);
    }

    let both = uplink(0, 1, &[1, 2, 3], 2);
    broker.publish(&eui(0), "up", &both).await;
    deliver(&world, "default?event=up", &both).await;
    broker.publish(&eui(0), "up", &uplink(0, 2, &[1], 2)).await;
    world.until("three uplinks", async || frames(&telemetry(&api, 0).await).len() >= 3).await;
    assert_eq!(frames(&telemetry(&api, 0).await), [0, 1, 2]);

    // A flood by both ways; Waybill is killed between 200 and the handling.
    let all: Vec<(usize, u64)> = (3..FRAMES).flat_map(|frame| (0..DEVICES).map(move |n| (n, frame))).collect();
    let (first, rest) = all.split_at(all.len() / 2);
    let send = async |world: &World, some: &[(usize, u64)]| {
        let sent = stream::iter(some.to_vec()).for_each_concurrent(IN_FLIGHT, |(n, frame)| async move {
            deliver(world, "default?event=up", &uplink(n, frame, &[9], 2)).await;
        });
        sent.await;
    };
    send(&world, first).await;
    world.kill_waybill();
    for (n, frame) in &rest[..rest.len() / 2] {
        broker.publish(&eui(*n), "up", &uplink(*n, *frame, &[9], 2)).await;
    }
    world.start_waybill().await;
    send(&world, &rest[rest.len() / 4..]).await;
    let wanted: BTreeSet<u64> = (3..FRAMES).collect();
    for n in 0..DEVICES {
        let seen =
            async || frames(&telemetry(&api, n).await).into_iter().filter(|frame| *frame >= 3).collect::<Vec<_>>();
        world.until("every uplink", async || seen().await.into_iter().collect::<BTreeSet<_>>() == wanted).await;
        assert_eq!(seen().await.len(), wanted.len(), "device {n}: an uplink counted twice");
    }
    world.until("nothing waits", async || metric(&world, "waybill_network_backlog_messages", &[]).await == 0.0).await;
    broker.stop().await;
}

/// The queue of a tenant has room for this many events more.
const ROOM: usize = 10;
/// Events sent to a queue with that room.
const SENT: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_the_senders_turn_to_wait_and_nothing_is_lost() {
    let mut world = World::start_with(&SECRETS).await;
    let api = with_devices(&world, 1).await;
    world.settles().await;
    world.kill_waybill();
    // Only the API serves: what it stores waits.
    let (mut process, base) = world.another_api(&SECRETS).await;
    fill(&world, NETWORK_TENANT_MAX as usize - ROOM).await;
    let mut refused = Vec::new();
    for frame in 0..SENT {
        match post_to(&base, "default?event=up", &uplink(0, frame, &[9], 2)).await {
            200 => {}
            503 => refused.push(frame),
            other => panic!("{other}"),
        }
    }
    assert_eq!(refused, Vec::from_iter(ROOM as u64..SENT), "those that came when it was full");
    assert_eq!(post_to(&base, "rival?event=up", &uplink(0, 0, &[9], 2)).await, 404, "there is no other tenant");
    process.terminate().await;

    world.start_waybill().await;
    for frame in refused {
        deliver(&world, "default?event=up", &uplink(0, frame, &[9], 2)).await;
    }
    let wanted: Vec<u64> = (0..SENT).collect();
    let all = async || frames(&telemetry(&api, 0).await).len() >= wanted.len();
    world.until("every uplink is handled", all).await;
    assert_eq!(frames(&telemetry(&api, 0).await), wanted, "each once");
}

/// Puts events of an unknown device into the queue, as many as a bridge that is away would leave there.
async fn fill(world: &World, events: usize) {
    let nats = waybill::nats::connect(&world.stack.nats.waybill_url(), "waybill-test").await.unwrap();
    let queue = JetStreamRawEvents::new(nats);
    let event = |n: usize| RawEvent {
        tenant: TENANT.parse().unwrap(),
        source: RawSource::Webhook,
        event: Some("up".to_owned()),
        route: None,
        origin: "test".to_owned(),
        id: Some(format!("filling-{n}")),
        body: json!({"devEUI": "ffffffffffffffff", "data": "AQ=="}).to_string().into(),
    };
    let queue = &queue;
    let kept = stream::iter(0..events).for_each_concurrent(FILLED_AT_ONCE, |n| async move {
        queue.keep(&event(n)).await.unwrap();
    });
    kept.await;
}

/// How long the queue keeps a message back for a process that has it.
const PROGRESS: Duration = Duration::from_secs(2);

/// A bridge has a boot and stands still. Another one handles the next boot, and a third one gets the first boot again.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_boot_that_comes_to_another_process_changes_nothing() {
    let mut world = World::start_with(&SECRETS).await;
    let api = with_devices(&world, 1).await;
    let boot = |f_cnt: u64, version: u8| uplink(0, f_cnt, &[0x82, f_cnt as u8, version, 0, 0], 20);
    deliver(&world, "default?event=up", &boot(4, 1)).await;
    let runs = async |world: &World, version: &str| {
        world.until_get(&api, "/devices/lora-0", version, |body| body["firmware_version"] == version).await
    };
    runs(&world, "1.0.0").await;
    world.settles().await;
    world.kill_waybill();
    let (mut process, base) = world.another_api(&SECRETS).await;
    for (f_cnt, version) in [(5, 1), (6, 2)] {
        assert_eq!(post_to(&base, "default?event=up", &boot(f_cnt, version)).await, 200);
    }
    process.terminate().await;
    let held = first_of_queue(&world).await;
    let restarts = async {
        world.start_waybill().await;
        runs(&world, "2.0.0").await;
        world.kill_waybill();
        world.start_waybill().await;
    };
    tokio::select! {
        () = restarts => {}
        () = hold(&held) => {}
    }
    held.ack_with(AckKind::Nak(None)).await.unwrap();
    let is_late =
        |body: &Value| body["items"].as_array().unwrap().iter().any(|one| one["type"] == "device.reported_late");
    world.until_get(&api, "/devices/lora-0/history?limit=200", "the older boot is noted", is_late).await;
    assert_eq!(runs(&world, "2.0.0").await["firmware_version"], "2.0.0");
    world.read_models_equal_a_replay().await;
}

/// Keeps an event of the queue from other processes, until it is dropped.
async fn hold(held: &Message) {
    loop {
        held.ack_with(AckKind::Progress).await.unwrap();
        tokio::time::sleep(PROGRESS).await;
    }
}

/// The oldest event of the queue, as a process has it that was given it.
async fn first_of_queue(world: &World) -> Message {
    let nats = waybill::nats::connect(&world.stack.nats.waybill_url(), "waybill-test").await.unwrap();
    let stream = jetstream::new(nats).get_stream("NETWORK").await.unwrap();
    let queue: PullConsumer = stream.get_consumer("waybill-network").await.unwrap();
    let mut first = queue.fetch().max_messages(1).expires(crate::world::PATIENCE).messages().await.unwrap();
    first.next().await.unwrap().unwrap()
}

//! Mistakes of firmware: each becomes visible, although the broker sends a PUBACK.

use std::time::{Duration, Instant};

use reqwest::Method;
use rumqttc::{PublishOptions, QoS};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, World};

const PATIENCE: Duration = Duration::from_secs(20);

async fn register(api: &ApiClient, id: &str) {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
}

/// The device's dead letters, newest first, once there are as many as expected.
async fn letters(api: &ApiClient, path: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = match api.get(path).await {
            Ok(body) => body["items"].as_array().unwrap().clone(),
            Err(_) => Vec::new(),
        };
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "{path} has {found:#?}, not {count}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn reasons(letters: &[Value]) -> Vec<(&str, &str)> {
    let mut reasons: Vec<_> = letters
        .iter()
        .map(|letter| (letter["reason"].as_str().unwrap(), letter["topic"].as_str().unwrap()))
        .map(|(reason, topic)| (reason, topic.split_once("/devices/").unwrap().1))
        .collect();
    reasons.sort_unstable();
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_a_device_becomes_a_dead_letter() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    register(&api, "d-1").await;
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    let update = api.post("/devices/d-1/update", &json!({"firmware_id": firmware})).await.unwrap();
    let ordinal = update["ordinal"].as_u64().unwrap();
    device.hears("its command", |command| command["command"] == "ota_update").await;
    device.reports(ordinal, 1, "received").await;

    let at_least_once = || PublishOptions::new(QoS::AtLeastOnce);
    for (topic, payload) in [
        ("", "{}"),
        ("/state", "{}"),
        ("/update/1/status", r#"{"attempt":1,"status":"downloading"}"#),
        ("/updates/0/status", r#"{"attempt":1,"status":"downloading"}"#),
        ("/updates/1/status/x", "{}"),
        ("/updates/7/status", r#"{"attempt":1,"status":"downloading"}"#),
        ("/updates/1/status", r#"{"attempt":4,"status":"downloading"}"#),
        ("/updates/1/status", r#"{"attempt":1,"status":"downloading","progress":"40%"}"#),
        ("/updates/1/status", r#"{"attempt":1,"status":"dancing"}"#),
        ("/status", r#"{"status":"online","battery_level":120}"#),
        ("/info", "no JSON"),
        ("/telemetry", r#"{"t":21,"ts":"yesterday"}"#),
    ] {
        device.publishes(topic, payload, at_least_once()).await;
    }
    device.publishes("/status", r#"{"status":"online"}"#, at_least_once().retain(true)).await;
    let found = letters(&api, "/devices/d-1/dead-letters", 13).await;
    let wanted = [
        ("malformed", "d-1/info"),
        ("malformed", "d-1/updates/1/status"),
        ("no_such_attempt", "d-1/updates/1/status"),
        ("no_such_update", "d-1/updates/7/status"),
        ("partly_ignored", "d-1/status"),
        ("partly_ignored", "d-1/telemetry"),
        ("partly_ignored", "d-1/updates/1/status"),
        ("retained", "d-1/status"),
        ("unknown_topic", "d-1"),
        ("unknown_topic", "d-1/state"),
        ("unknown_topic", "d-1/update/1/status"),
        ("unknown_topic", "d-1/updates/0/status"),
        ("unknown_topic", "d-1/updates/1/status/x"),
    ];
    assert_eq!(reasons(&found), wanted);
    let text = found.iter().find(|letter| letter["reason"] == "no_such_update").unwrap();
    assert_eq!(text["detail"], "no update 7 of this device: its latest is 1");
    assert_eq!((&text["payload_encoding"], &text["payload_truncated"]), (&json!("text"), &json!(false)));

    // The valid part of a message was applied.
    let downloads = |body: &Value| body["phase"] == "downloading";
    world.until_get(&api, "/devices/d-1/updates/1", "downloading", downloads).await;

    let of_reason = letters(&api, "/dead-letters?device_id=d-1&reason=partly_ignored&limit=2", 2).await;
    assert_eq!(of_reason.len(), 2);
    let refused = api.send(Method::GET, "/dead-letters?reason=nonsense", None).await.unwrap();
    assert!(format!("{refused:?}").contains("no_such_attempt"), "the error lists the known reasons: {refused:?}");
    let stranger = world.operator_of("other", &["viewer"]).await;
    assert_eq!(stranger.get("/dead-letters").await.unwrap()["items"], json!([]));
    assert!(stranger.get("/devices/d-1/dead-letters").await.is_err(), "another tenant's device is unknown");

    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let counts = |reason: &str| metrics.contains(&format!("waybill_dead_letters_total{{reason=\"{reason}\"}}"));
    for reason in ["malformed", "unknown_topic", "partly_ignored", "retained", "no_such_update", "no_such_attempt"] {
        assert!(counts(reason), "{reason} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_device_and_qos_0_become_dead_letters() {
    let world = World::start().await;
    let api = world.operator().await;
    let stranger = world.manual_device("ghost").await;
    stranger.boots("b1", "1.0.0").await;
    let ghost = letters(&api, "/devices/ghost/dead-letters", 1).await;
    assert_eq!((&ghost[0]["reason"], &ghost[0]["detail"]), (&json!("no_such_device"), &json!("no such device")));
    assert!(api.get("/devices/nobody/dead-letters").await.is_err());

    register(&api, "d-0").await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let device = world.manual_device("d-0").await;
    let at_most_once = || PublishOptions::new(QoS::AtMostOnce);
    let status = r#"{"status":"online","boot_id":"b1","firmware_version":"9.9.9"}"#;
    device.publishes("/status", status, at_most_once()).await;
    let online = world.until_get(&api, "/devices/d-0", "online", |body| body["status"] == "online").await;
    assert_eq!(online["firmware_version"], "1.0.0", "a status that the broker doesn't store proves nothing");
    let told = letters(&api, "/devices/d-0/dead-letters?reason=qos_0", 1).await;
    assert!(told[0]["detail"].as_str().unwrap().contains("QoS 1"), "{told:?}");

    // A question is answered and a report is applied; there is one dead letter.
    api.post("/devices/d-0/update", &json!({"firmware_id": firmware})).await.unwrap();
    device.hears("its command", |command| command["command"] == "ota_update").await;
    device.publishes("/updates/1/status", r#"{"attempt":1,"status":"received"}"#, at_most_once()).await;
    device.publishes("/updates/1/status", r#"{"attempt":1,"status":"downloading"}"#, at_most_once()).await;
    world.until_get(&api, "/devices/d-0/updates/1", "downloading", |body| body["phase"] == "downloading").await;
    device.publishes("/status", status, at_most_once()).await;
    device.publishes("/state", "{}", at_most_once()).await;
    let all = letters(&api, "/devices/d-0/dead-letters", 3).await;
    let wanted = [("qos_0", "d-0/status"), ("qos_0", "d-0/updates/1/status"), ("unknown_topic", "d-0/state")];
    assert_eq!(reasons(&all), wanted);
}

/// One dead letter, and the newest boot counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_loop_becomes_one_dead_letter() {
    const PATH: &str = "/devices/d-0/dead-letters?reason=boot_loop";
    let world = World::start().await;
    let api = world.operator().await;
    register(&api, "d-0").await;
    let device = world.manual_device("d-0").await;
    let (deadline, mut boots) = (Instant::now() + PATIENCE, 0);
    while api.get(PATH).await.unwrap()["items"] == json!([]) {
        assert!(Instant::now() < deadline, "{boots} boots and no dead letter");
        device.boots(&format!("b{boots}"), "1.0.0").await;
        boots += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(boots > 60, "a dead letter after {boots} boots");
    for boot in boots..boots + 10 {
        device.boots(&format!("b{boot}"), "1.0.0").await;
    }
    device.boots("last", "1.1.0").await;
    world.until_get(&api, "/devices/d-0", "its newest version", |body| body["firmware_version"] == "1.1.0").await;
    assert_eq!(letters(&api, PATH, 1).await.len(), 1, "one dead letter an hour");
}

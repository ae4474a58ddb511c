//! What an MQTT connection can't do, and what a tenant can't see.

use std::time::Duration;

use reqwest::Method;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use serde_json::json;

use crate::world::{MODEL, World};

/// How long to listen before it counts as silence.
const SILENCE: Duration = Duration::from_millis(1_500);

async fn mqtt(world: &World, id: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let address = world.stack.nats.mqtt_listen();
    let mut options = MqttOptions::new(id, (address.ip().to_string(), address.port()));
    options.set_keep_alive(5);
    AsyncClient::builder(options).capacity(64).build()
}

/// Drives a connection for a while; returns the topics of received messages.
async fn listen(events: &mut rumqttc::EventLoop) -> Vec<String> {
    let mut topics = Vec::new();
    drop(
        tokio::time::timeout(SILENCE, async {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        topics.push(String::from_utf8_lossy(&publish.topic).into_owned());
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await,
    );
    topics
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_can_neither_forge_nor_delete_nor_eavesdrop() {
    let world = World::start().await;
    let api = world.operator().await;
    api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let log = world.log().await;
    let before = log.info().await.unwrap();
    let (client, mut events) = mqtt(&world, "attacker").await;
    for filter in
        ["#", "ev/#", "feed/#", "$JS/#", "+/devices/+/status", "default/devices/d-1/status", "$MQTT/#", "_INBOX/#"]
    {
        client.subscribe(filter, QoS::AtMostOnce).await.unwrap();
    }
    listen(&mut events).await;
    for (topic, payload) in [
        ("ev/3/default/device/d-1", "{\"v\":1}"),
        ("ev/3/default/campaign/c1", "{}"),
        ("$JS/API/STREAM/DELETE/EVENTS", ""),
        ("$JS/API/STREAM/PURGE/EVENTS", ""),
        ("feed/default/device/x", "{}"),
        ("default/devices/d-1/commands", "{\"v\":1,\"command\":\"ota_update\"}"),
    ] {
        client.publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce).retain(false)).await.unwrap();
        client.publish(topic, payload, PublishOptions::new(QoS::AtMostOnce).retain(true)).await.unwrap();
    }
    api.post("/devices", &json!({"device_id": "d-2", "device_model": MODEL})).await.unwrap();
    let heard = listen(&mut events).await;
    assert!(heard.is_empty(), "an attacker received {heard:?}");
    let after = log.info().await.unwrap();
    assert_eq!(after.incarnation_ms, before.incarnation_ms, "EVENTS was created again");
    assert_eq!(after.last_sequence, before.last_sequence + 1, "only the registration was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_topic_does_no_harm() {
    let world = World::start().await;
    let api = world.operator().await;
    api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let (client, mut events) = mqtt(&world, "garbage").await;
    let payloads: [&[u8]; 7] =
        [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"{\"status\":42}", b"{\"attempt\":-1,\"status\":\"received\"}"];
    let topics = [
        "default/devices/d-1/status",
        "default/devices/d-1/info",
        "default/devices/d-1/telemetry",
        "default/devices/d-1/commands/get",
        "default/devices/d-1/updates/1/status",
        "default/devices/d-1/updates/99999999999/status",
        "default/devices/d-1/updates/x/status",
        "nobody/devices/d-1/status",
        "default/devices/unknown/status",
    ];
    for topic in topics {
        for payload in payloads {
            client.publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce).retain(false)).await.unwrap();
            listen_briefly(&mut events).await;
        }
    }
    listen(&mut events).await;
    // Larger than a report may be; on a connection of its own, because the broker or the client may close it.
    let (other, mut other_events) = mqtt(&world, "huge").await;
    let huge = format!("{{\"status\":\"online\",\"session\":\"{}\"}}", "x".repeat(9_000));
    other.publish("default/devices/d-1/status", huge, PublishOptions::new(QoS::AtLeastOnce)).await.unwrap();
    listen(&mut other_events).await;
    let (good_client, mut good_events) = mqtt(&world, "good").await;
    let good = json!({"status": "online", "session": "s1", "boot_id": "b1", "firmware_version": "1.2.3"}).to_string();
    good_client.publish("default/devices/d-1/status", good, PublishOptions::new(QoS::AtLeastOnce)).await.unwrap();
    listen(&mut good_events).await;
    let device = world
        .until_get(&api, "/devices/d-1", "the valid message is applied", |body| body["firmware_version"] == "1.2.3")
        .await;
    assert_eq!(device["status"], "online");
    assert!(!world.log_text().contains("panicked"), "{}", world.log_text());
}

async fn listen_briefly(events: &mut rumqttc::EventLoop) {
    drop(tokio::time::timeout(Duration::from_millis(10), async { while events.poll().await.is_ok() {} }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_no_data_of_another() {
    let world = World::start().await;
    let ours = world.operator_of("acme", &["admin"]).await;
    let theirs = world.operator_of("rival", &["admin"]).await;
    ours.post("/devices", &json!({"device_id": "secret", "device_model": MODEL})).await.unwrap();
    let firmware = world.firmware(&ours, "2.0.0").await;
    let draft =
        json!({"name": "ours", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let campaign = ours.post("/campaigns", &draft).await.unwrap()["campaign_id"].as_str().unwrap().to_owned();
    world.settles().await;
    assert_eq!(theirs.get("/devices?count=true").await.unwrap()["total"], 0);
    for path in [
        "/devices/secret",
        &format!("/firmware/{firmware}"),
        &format!("/campaigns/{campaign}"),
        "/devices/secret/history",
    ] {
        let reply = theirs.send(Method::GET, path, None).await.unwrap();
        assert_eq!(reply.status, 404, "{path}: {}", reply.body);
    }
    let reply = theirs.send(Method::GET, "/tenants/acme/devices", None).await.unwrap();
    assert!([403, 404].contains(&reply.status.as_u16()), "{}", reply.body);
    let reply = theirs.send(Method::POST, &format!("/campaigns/{campaign}/start"), Some(&json!({}))).await.unwrap();
    assert_eq!(reply.status, 404, "{}", reply.body);
    let viewer = world.operator_of("acme", &["viewer"]).await;
    let reply = viewer.send(Method::POST, "/devices", Some(&json!({"device_model": MODEL}))).await.unwrap();
    assert_eq!(reply.status, 403, "{}", reply.body);
}

//! Consumers of the public feed, created over REST and read as an analyst does.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stack::nats;
use crate::world::{MODEL, World};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_consumer_delivers_only_its_own_tenants_events() {
    let world = World::start().await;
    let (api, other) = (world.operator().await, world.operator_of("other", &["operator"]).await);
    for n in 0..3 {
        let device = json!({"device_id": format!("d-{n}"), "device_model": MODEL});
        api.post("/devices", &device).await.unwrap();
        other.post("/devices", &device).await.unwrap();
    }
    world.firmware(&api, "2.0.0").await;
    let wanted = json!({"name": "reports", "filter": "device.*"});
    let made = api.send(Method::POST, "/feed/consumers", Some(&wanted)).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        api.send(Method::POST, "/feed/consumers", Some(&wanted)).await.unwrap().status,
        200,
        "the repeated request"
    );
    let differs = json!({"name": "reports", "filter": ">"});
    assert_eq!(api.send(Method::POST, "/feed/consumers", Some(&differs)).await.unwrap().status, 409);
    let of_others = other.get("/feed/consumers").await.unwrap();
    assert_eq!(of_others, json!({"items": []}));
    assert_eq!(other.send(Method::DELETE, "/feed/consumers/reports", None).await.unwrap().status, 404);

    let text = |field: &str| made.body[field].as_str().unwrap().to_owned();
    assert_eq!(text("subject"), "feed.default.device.*");
    let analyst = nats(&world.stack.nats.analyst_url()).await;
    let domain = made.body["connect"]["jetstream_domain"].as_str().unwrap();
    let feed = jetstream::with_domain(analyst, domain).get_stream(text("stream")).await.unwrap();
    let consumer: PullConsumer = feed.get_consumer(&text("consumer")).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut devices = Vec::new();
    while devices.len() < 3 {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.expect("an event").unwrap().unwrap();
        assert_eq!(message.subject.as_str(), "feed.default.device.registered");
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        devices.push(body["data"]["device_id"].as_str().unwrap().to_owned());
        message.ack().await.unwrap();
    }
    assert_eq!(devices, ["d-0", "d-1", "d-2"]);
    let read = |body: &Value| body["pending"] == 0 && body["ack_pending"] == 0;
    world.until_get(&api, "/feed/consumers/reports", "everything is read", read).await;

    let refused = api.send(Method::POST, "/feed/consumers", Some(&json!({"name": "x", "filter": "campain.*"}))).await;
    assert_eq!(refused.unwrap().status, 422);
    for n in 1..16 {
        api.post("/feed/consumers", &json!({"name": format!("c-{n}")})).await.unwrap();
    }
    let one_more = api.send(Method::POST, "/feed/consumers", Some(&json!({"name": "one-more"}))).await.unwrap();
    assert_eq!((one_more.status.as_u16(), &one_more.body["type"]), (409, &json!("/problems/too_many_consumers")));
    assert_eq!(api.send(Method::DELETE, "/feed/consumers/reports", None).await.unwrap().status, 200);
    assert_eq!(api.send(Method::GET, "/feed/consumers/reports", None).await.unwrap().status, 404);
}

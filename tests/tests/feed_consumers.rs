//! Consumers of the public feed, created over REST and read as an analyst does.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::select_all;
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

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

/// Longest wait for something that must not come.
const SILENCE: Duration = Duration::from_millis(500);
/// A revoked key is disconnected within this time.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Logs in to NATS as a program of a tenant.
pub(crate) async fn connect(
    world: &World,
    tenant: &str,
    key: &str,
) -> Result<async_nats::Client, async_nats::ConnectError> {
    let options = event_store::connection::options("test").user_and_password(tenant.to_owned(), key.to_owned());
    options.custom_inbox_prefix(format!("_INBOX_{tenant}")).connect(world.stack.nats.listen().to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_reads_the_feed_of_its_tenant_alone() {
    let world = World::start().await;
    let (acme, rival) = (world.operator_of("acme", &["admin"]).await, world.operator_of("rival", &["admin"]).await);
    let made = acme.post("/feed/consumers", &json!({"name": "reports"})).await.unwrap();
    rival.post("/feed/consumers", &json!({"name": "reports"})).await.unwrap();
    let issued = acme.post("/api-keys", &json!({"roles": ["viewer"]})).await.unwrap();
    let key = issued["token"].as_str().unwrap();
    assert_eq!((&made["connect"]["user"], &made["connect"]["inbox_prefix"]), (&json!("acme"), &json!("_INBOX_acme")));
    let reader = connect(&world, "acme", key).await.unwrap();
    let mut foreign = Vec::new();
    for subject in ["feed.acme.>", "feed.rival.>", "feed.>", ">", "_INBOX.>", "_INBOX_rival.>", "ev.>", "$JS.>"] {
        foreign.push(reader.subscribe(subject).await.unwrap());
    }
    reader.flush().await.unwrap();
    for api in [&acme, &rival] {
        api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    }
    let heard = tokio::time::timeout(SILENCE, select_all(foreign).next()).await;
    assert!(!matches!(heard, Ok(Some(_))), "{heard:?}");
    let feed = jetstream::with_domain(reader.clone(), "waybill");
    let consumer: PullConsumer = feed.get_consumer_from_stream("acme_reports", "FEED").await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let message = tokio::time::timeout(PATIENCE, messages.next()).await.expect("an event").unwrap().unwrap();
    assert_eq!(message.subject.as_str(), "feed.acme.device.registered");
    message.ack().await.unwrap();
    let asked = [
        ("$JS.waybill.API.CONSUMER.MSG.NEXT.FEED.rival_reports", "1"),
        // The description of the stream lists the subjects of all tenants if it is asked for them.
        ("$JS.waybill.API.STREAM.INFO.FEED", r#"{"subjects_filter":">"}"#),
        ("$JS.waybill.API.DIRECT.GET.FEED", r#"{"seq":1}"#),
        ("$JS.waybill.API.DIRECT.GET.FEED.feed.rival.device.registered", ""),
        ("$JS.waybill.API.CONSUMER.LIST.FEED", ""),
    ];
    let asked = asked.map(async |(subject, body)| {
        let heard = tokio::time::timeout(SILENCE, reader.request(subject, body.into())).await;
        assert!(!matches!(heard, Ok(Ok(_))), "{subject}: {heard:?}");
    });
    join_all(asked).await;
    a_reader_sends_no_events_to_other_subscribers(&world, &reader).await;
    a_reader_acknowledges_nothing_of_other_tenants(&world, &reader, &rival).await;

    for (tenant, key) in [("rival", key), ("acme", "wbk_acme"), ("acme", "")] {
        assert!(connect(&world, tenant, key).await.is_err(), "{tenant} {key}");
    }
    let path = format!("/api-keys/{}", issued["key_id"].as_str().unwrap());
    acme.send(Method::DELETE, &path, Some(&json!({"reason": "leaked"}))).await.unwrap().success().unwrap();
    let ended = async {
        while reader.connection_state() == async_nats::connection::State::Connected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(ENDED_WITHIN, ended).await.expect("disconnected");
    assert!(connect(&world, "acme", key).await.is_err());
}

/// NATS lets a client name any reply subject. So the answer to a reader's request, an event of its own tenant, could go to a subject to which
/// others subscribe.
async fn a_reader_sends_no_events_to_other_subscribers(world: &World, reader: &async_nats::Client) {
    let analyst = nats(&world.stack.nats.analyst_url()).await;
    let mut live = analyst.subscribe("feed.>").await.unwrap();
    analyst.flush().await.unwrap();
    let ask = "$JS.waybill.API.DIRECT.GET.FEED.feed.acme.device.registered";
    assert!(!reader.request(ask, "".into()).await.unwrap().payload.is_empty(), "the reader has an event");
    for addressee in ["feed.rival.device.registered", "feed.acme.device.registered", "feed.x"] {
        reader.publish_with_reply(ask, addressee, "".into()).await.unwrap();
    }
    reader.flush().await.unwrap();
    let heard = tokio::time::timeout(SILENCE, live.next()).await;
    assert!(!matches!(heard, Ok(Some(_))), "{heard:?}");
    let firmware = world.operator_of("acme", &["admin"]).await;
    world.firmware(&firmware, "7.0.0").await;
    let next = tokio::time::timeout(PATIENCE, live.next()).await.expect("a live event").unwrap();
    assert_eq!(next.subject.as_str(), "feed.acme.firmware.registered", "the analyst listens");
}

/// A reply subject could also be the one that acknowledges a message of another tenant: the reply to a request for an event that doesn't exist is
/// empty, and an empty message acknowledges. nats-server refuses such reply subjects.
async fn a_reader_acknowledges_nothing_of_other_tenants(world: &World, reader: &async_nats::Client, rival: &ApiClient) {
    let issued = rival.post("/api-keys", &json!({"roles": ["viewer"]})).await.unwrap();
    let other = connect(world, "rival", issued["token"].as_str().unwrap()).await.unwrap();
    let feed = jetstream::with_domain(other, "waybill");
    let consumer: PullConsumer = feed.get_consumer_from_stream("rival_reports", "FEED").await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let message = tokio::time::timeout(PATIENCE, messages.next()).await.expect("an event").unwrap().unwrap();
    let acknowledgement = message.reply.clone().expect("the subject that acknowledges");
    let not_acknowledged = async || rival.get("/feed/consumers/reports").await.unwrap()["ack_pending"].clone();
    let before = not_acknowledged().await;
    assert_ne!(before, 0);
    let missing = "$JS.waybill.API.DIRECT.GET.FEED.feed.acme.device.missing";
    reader.publish_with_reply(missing, acknowledgement.clone(), "".into()).await.unwrap();
    reader.publish(acknowledgement, "".into()).await.unwrap();
    reader.flush().await.unwrap();
    // An acknowledgement must not come.
    tokio::time::sleep(SILENCE).await;
    assert_eq!(not_acknowledged().await, before);
}

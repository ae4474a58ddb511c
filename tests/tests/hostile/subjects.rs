//! A program of tenant `rival` subscribes to all kinds of subjects of NATS, and sends requests about tenant `acme`.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::select_all;
use serde_json::json;

use crate::feed_consumers::connect;
use crate::world::{MODEL, World};

/// Longest wait for something that must not come.
const SILENCE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Subjects of messages of the tenant or of the whole installation.
const SUBSCRIBED: [&str; 14] = [
    ">",
    "*.>",
    "feed.>",
    "feed.acme.>",
    "feed.*.device.registered",
    "ev.>",
    "telemetry.>",
    "dead.>",
    "net.*",
    "$KV.>",
    "$JS.>",
    "$SYS.>",
    "_INBOX.>",
    "_INBOX_acme.>",
];
/// Requests about the tenant, or about streams that it shares with others.
const REQUESTS: [(&str, &str); 17] = [
    ("CONSUMER.MSG.NEXT.FEED.acme_c-f00dfeed", "1"),
    ("CONSUMER.INFO.FEED.acme_c-f00dfeed", ""),
    ("CONSUMER.DELETE.FEED.acme_c-f00dfeed", ""),
    ("CONSUMER.CREATE.FEED.rival_x.feed.acme.>", r#"{"stream_name":"FEED","config":{"filter_subject":"feed.acme.>"}}"#),
    ("CONSUMER.CREATE.FEED.rival_x", r#"{"stream_name":"FEED","config":{"deliver_subject":"feed.acme.x"}}"#),
    ("CONSUMER.LIST.FEED", ""),
    ("CONSUMER.NAMES.FEED", ""),
    ("DIRECT.GET.FEED", r#"{"seq":1}"#),
    ("DIRECT.GET.FEED.feed.acme.device.registered", ""),
    ("STREAM.MSG.GET.FEED", r#"{"seq":1}"#),
    ("STREAM.INFO.FEED", r#"{"subjects_filter":">"}"#),
    ("STREAM.INFO.EVENTS", r#"{"subjects_filter":">"}"#),
    ("DIRECT.GET.EVENTS", r#"{"seq":1}"#),
    ("STREAM.NAMES", ""),
    ("STREAM.PURGE.FEED", ""),
    ("INFO", ""),
    ("ACCOUNT.INFO", ""),
];

/// The attacker has an API key of tenant `rival`.
pub(super) async fn a_program_of_another_tenant_receives_nothing(world: &World) {
    let (acme, rival) = (world.operator_of("acme", &["admin"]).await, world.operator_of("rival", &["admin"]).await);
    let issued = rival.post("/api-keys", &json!({"roles": ["admin"]})).await.unwrap();
    let client = connect(world, "rival", issued["token"].as_str().unwrap()).await.unwrap();
    let mut all = Vec::new();
    for subject in SUBSCRIBED {
        all.push(client.subscribe(subject).await.unwrap());
    }
    all.push(client.subscribe("_INBOX_rival.>").await.unwrap());
    for (request, body) in REQUESTS {
        for prefix in ["$JS.API", "$JS.waybill.API"] {
            client.publish_with_reply(format!("{prefix}.{request}"), "_INBOX_rival.a", body.into()).await.unwrap();
        }
    }
    for subject in ["ev.3.acme.device.d-1", "feed.acme.device.registered", "$JS.ACK.FEED.acme_c-f00dfeed.1.1.1.1.1"] {
        client.publish(subject, "{}".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    acme.post("/devices", &json!({"device_id": "d-heard", "device_model": MODEL})).await.unwrap();
    let mut all = select_all(all);
    let heard = tokio::time::timeout(SILENCE, all.next()).await;
    assert!(!matches!(heard, Ok(Some(_))), "{heard:?}");
    let own = "$JS.waybill.API.DIRECT.GET.FEED.feed.rival.device.registered";
    client.publish_with_reply(own, "_INBOX_rival.a", "".into()).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, all.next()).await.expect("an event of its own tenant").unwrap();
    assert_eq!(heard.subject.as_str(), "_INBOX_rival.a");
    println!("{} subscriptions and {} requests at NATS, nothing received", SUBSCRIBED.len(), 2 * REQUESTS.len());
}

//! Frozen servers: their connections stay open, and no answers come.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::world::{MODEL, World};

/// Time in which a read reports that PostgreSQL doesn't answer.
const NAMED_WITHIN: Duration = Duration::from_secs(6);
/// Concurrent reads, more than there are connections to PostgreSQL.
const READERS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgresql_is_reported_within_seconds_and_used_again() {
    let world = World::start().await;
    let api = world.operator().await;
    let register = async |id: &str| {
        api.send(Method::POST, "/devices", Some(&json!({"device_id": id, "device_model": MODEL}))).await.unwrap()
    };
    assert_eq!(register("before").await.status, 201);
    world.settles().await;

    world.stack.postgres.freeze();
    let read = async || {
        let asked = Instant::now();
        let reply = api.send(Method::GET, "/devices", None).await.unwrap();
        (reply, asked.elapsed())
    };
    // Before and after the failure is detected.
    for round in ["first", "later"] {
        let replies = futures::future::join_all((0..READERS).map(|_| read())).await;
        for (reply, took) in replies {
            assert_eq!(reply.status, 503, "{round}: {}", reply.body);
            assert!(reply.body.to_string().contains("PostgreSQL"), "{round}: {}", reply.body);
            assert!(took < NAMED_WITHIN, "{round}: {took:?}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Requests that need only the log still work.
    assert_eq!(register("meanwhile").await.status, 201);

    world.stack.postgres.thaw();
    world.until("reads work again", async || read().await.0.status == 200).await;
    world.settles().await;
    world
        .until_get(&api, "/devices/meanwhile", "the projections continue", |body| body["device_id"] == "meanwhile")
        .await;
}

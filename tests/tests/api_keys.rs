//! API keys over several processes: what one of them issues and revokes, the others know at once.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use waybill::api_client::ApiClient;

use crate::world::{MASTER_KEY, PATIENCE, POLL, World};

const SECRETS: [&str; 8] = [
    "--jwt-secret",
    "a secret for tokens that is long enough",
    "--download-secret",
    "a secret for links that is long enough",
    "--credential-secret",
    "a secret for hashes that is long enough",
    "--master-key",
    MASTER_KEY,
];
/// Within this time every process knows what another one has stored.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

struct Key {
    id: String,
    text: String,
}

async fn issue(api: &ApiClient, roles: &[&str]) -> Key {
    let issued = api.post("/api-keys", &json!({"roles": roles, "label": "test"})).await.unwrap();
    let text = |field: &str| issued[field].as_str().unwrap().to_owned();
    Key { id: text("key_id"), text: text("token") }
}

/// What a process answers to a request with a key.
async fn answer(base: &str, key: &Key) -> Option<StatusCode> {
    let request = reqwest::Client::new().get(format!("{base}/api/v1/devices")).header("X-API-Key", &key.text);
    request.send().await.ok().map(|reply| reply.status())
}

/// Waits for an answer; returns how long it took.
async fn until(base: &str, key: &Key, wanted: StatusCode) -> Duration {
    let began = Instant::now();
    loop {
        let seen = answer(base, key).await;
        if seen == Some(wanted) {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "no {wanted} within {PATIENCE:?}; last {seen:?}");
        tokio::time::sleep(POLL / 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_known_and_unknown_on_every_process_within_a_second() {
    let mut world = World::start_with(&SECRETS).await;
    let api = world.operator().await;
    let (_other, other) = world.another_api(&SECRETS).await;
    let lasting = issue(&api, &["viewer"]).await;
    for _ in 0..5 {
        let key = issue(&api, &["operator"]).await;
        assert_eq!(answer(&world.base(), &key).await, Some(StatusCode::OK), "known where it was issued");
        let took = until(&other, &key, StatusCode::OK).await;
        assert!(took < KNOWN_WITHIN, "known elsewhere after {took:?}");
        let revoked = api.send(Method::DELETE, &format!("/api-keys/{}", key.id), Some(&json!({}))).await.unwrap();
        assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.body);
        assert_eq!(answer(&world.base(), &key).await, Some(StatusCode::UNAUTHORIZED));
        let took = until(&other, &key, StatusCode::UNAUTHORIZED).await;
        assert!(took < KNOWN_WITHIN, "revoked elsewhere after {took:?}");
    }
    // The other process let it in, so that process stores its last use.
    assert_eq!(answer(&other, &lasting).await, Some(StatusCode::OK));
    let path = format!("/api-keys/{}", lasting.id);
    world.until_get(&api, &path, "the last use is stored", |key| key["last_used_at"].is_string()).await;
    world.kill_waybill();
    world.start_waybill().await;
    until(&world.base(), &lasting, StatusCode::OK).await;
    let listed = world.operator().await.get("/api-keys?count=true").await.unwrap();
    assert_eq!(listed["total"], 6, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_log_keys_are_refused_after_a_while_and_tokens_are_not() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let key = issue(&api, &["viewer"]).await;
    assert_eq!(answer(&world.base(), &key).await, Some(StatusCode::OK));
    world.stack.nats.kill9();
    until(&world.base(), &key, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(api.get("/devices").await.is_ok(), "the read models are there");
    world.stack.nats.restart().await.unwrap();
    until(&world.base(), &key, StatusCode::OK).await;
}

//! Invalid input over REST: a clear 4xx, no partial writes, no panics.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{MODEL, World};

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_a_reason() {
    let world = World::start().await;
    let api = world.operator().await;
    let cases: Vec<(Method, &str, Value, u16)> = vec![
        (Method::POST, "/devices", json!({"device_id": "a.b"}), 422),
        (Method::POST, "/devices", json!({"device_id": "bulk"}), 422),
        (Method::POST, "/devices", json!({"device_id": "d-1", "colour": "red"}), 422),
        (Method::POST, "/devices", json!({"device_id": 7}), 422),
        (Method::POST, "/devices", json!({"device_id": "d-1", "lorawan_dev_eui": "xyz"}), 422),
        (Method::POST, "/campaigns", json!({"name": "x"}), 422),
        (
            Method::POST,
            "/campaigns",
            json!({"name": "x", "firmware_id": "8f9f7c9e-0000-0000-0000-000000000000", "deployment_strategy": "immediate", "target_all": true}),
            422,
        ),
        (Method::POST, "/devices/nobody/update", json!({"firmware_id": "8f9f7c9e-0000-0000-0000-000000000000"}), 422),
        (Method::GET, "/devices/nobody", Value::Null, 404),
        (Method::GET, "/devices?limit=0", Value::Null, 400),
        (Method::GET, "/devices?cursor=zzz", Value::Null, 400),
        (Method::GET, "/nothing", Value::Null, 404),
        (Method::DELETE, "/devices", Value::Null, 405),
        (Method::POST, "/campaigns/8f9f7c9e-0000-0000-0000-000000000000/start", json!({}), 404),
    ];
    for (method, path, body, status) in cases {
        let sent = (!body.is_null()).then_some(&body);
        let reply = api.send(method.clone(), path, sent).await.unwrap();
        assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.body);
        assert!(
            reply.body["title"].is_string() && reply.body["type"].is_string(),
            "{method} {path}: no problem+json: {}",
            reply.body
        );
    }
    let malformed = api.http().post(format!("{}/api/v1/devices", world.base())).bearer_auth(api.token());
    let reply = malformed.header("content-type", "application/json").body("{\"device_id\":").send().await.unwrap();
    assert_eq!(reply.status(), 400);
    let anonymous = reqwest::get(format!("{}/api/v1/devices", world.base())).await.unwrap();
    assert_eq!(anonymous.status(), 401);
    let forged = reqwest::Client::new()
        .get(format!("{}/api/v1/devices", world.base()))
        .header("X-Internal-Call", "true")
        .send()
        .await
        .unwrap();
    assert_eq!(forged.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_stored_only_if_size_and_digests_match() {
    let world = World::start().await;
    let api = world.operator().await;
    let metadata = |more: Value| {
        let mut all = json!({"name": "F", "version": "2.1.0", "device_model": MODEL});
        for (field, value) in more.as_object().unwrap() {
            all[field] = value.clone();
        }
        all
    };
    let wrong = metadata(json!({"checksum_md5": "d41d8cd98f00b204e9800998ecf8427e"}));
    let reply = api.upload(&wrong, b"not empty".to_vec()).await.unwrap();
    assert_eq!(reply.status, 422, "{}", reply.body);
    assert!(reply.body.to_string().contains("checksum_md5"), "{}", reply.body);
    world.settles().await;
    assert_eq!(api.get("/firmware?count=true").await.unwrap()["total"], 0, "nothing was stored");

    let first = api.upload(&metadata(json!({})), b"one".to_vec()).await.unwrap();
    assert_eq!(first.status, 201, "{}", first.body);
    let again = api.upload(&metadata(json!({"name": "other name"})), b"one".to_vec()).await.unwrap();
    assert_eq!((again.status.as_u16(), &again.body["firmware_id"]), (200, &first.body["firmware_id"]));
    let other = api.upload(&metadata(json!({})), b"two".to_vec()).await.unwrap();
    assert_eq!(other.status, 409, "{}", other.body);

    let id = first.body["firmware_id"].as_str().unwrap();
    let link = api.get(&format!("/firmware/{id}/download")).await.unwrap();
    let url = link["download_url"].as_str().unwrap();
    let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert_eq!(&bytes[..], b"one");
    let part = reqwest::Client::new().get(url).header("range", "bytes=1-1").send().await.unwrap();
    assert_eq!((part.status().as_u16(), &part.bytes().await.unwrap()[..]), (206, &b"n"[..]));
    let tampered = format!("{}x", url);
    assert!(reqwest::get(&tampered).await.unwrap().status().is_client_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_gives_the_first_outcome() {
    let world = World::start().await;
    let api = world.operator().await;
    let send = async |key: &str, body: Value| {
        let request = api.http().post(format!("{}/api/v1/devices", world.base())).bearer_auth(api.token());
        let reply = request.header("Idempotency-Key", key).json(&body).send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    let body = json!({"device_model": MODEL});
    let (first_status, first) = send("k-1", body.clone()).await;
    let (again_status, again) = send("k-1", body).await;
    assert_eq!((first_status, again_status), (201, 201), "{first} {again}");
    assert_eq!(first["device_id"], again["device_id"]);
    let (reused, reply) = send("k-1", json!({"device_model": "else"})).await;
    assert_eq!(reused, 422, "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_starts_keep_the_firmware_pinned_and_a_start_can_be_repeated() {
    const ROUNDS: usize = 10;
    let world = World::start().await;
    let api = world.operator().await;
    api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    for round in 1..=ROUNDS {
        let firmware = world.firmware(&api, &format!("{round}.0.0")).await;
        let wanted = json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_devices": ["d-1"]});
        let campaign = api.post("/campaigns", &wanted).await.unwrap();
        let path = format!("/campaigns/{}/start", campaign["campaign_id"].as_str().unwrap());
        let start = async |header: &'static str, value: &'static str| {
            let request = api.http().post(format!("{}/api/v1{path}", world.base())).bearer_auth(api.token());
            request.header(header, value).json(&json!({})).send().await.unwrap().status().as_u16()
        };
        let late = || start("If-Match", "\"99\"");
        let outcomes = tokio::join!(late(), late(), start("Idempotency-Key", "k"), late(), late());
        assert_eq!(outcomes, (412, 412, 200, 412, 412));
        let deleted = api.send(Method::DELETE, &format!("/firmware/{firmware}"), None).await.unwrap();
        assert_eq!(deleted.status, 409, "round {round}: a live campaign's firmware was deleted: {}", deleted.body);
        assert_eq!(start("Idempotency-Key", "k").await, 200, "round {round}: the repeated start");
    }
}

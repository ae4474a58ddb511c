use axum::body::Body;
use axum::http::{Method, header};
use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{Device, DeviceCommand};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::{EventStore, Request};
use runtime::clock;
use serde_json::{Value, json};

use super::{Api, MODEL};

fn device_key(id: &str) -> Key<Device> {
    Key::new(&TenantId::new("acme").unwrap(), &DeviceId::new(id).unwrap())
}

#[tokio::test]
async fn a_registered_device_is_shown_with_its_place_and_position() {
    let api = Api::new();
    let wanted = json!({
        "name": "Lab Sensor", "device_type": "lora_sensor", "lorawan_dev_eui": "0A02030405060708",
        "chirpstack_app_id": "1", "device_profile_id": "abc-123", "versions": {"firmware": "1.0.0"},
    });
    let answer = api.post("/tenants/acme/devices", wanted).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = answer.body["device_id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/devices/{id}"));
    assert_eq!(answer.header("waybill-position"), answer.body["position"]);
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.body["lorawan_dev_eui"], "0a02030405060708");
    assert_eq!(answer.body["firmware_version"], "1.0.0");
    assert_eq!(answer.body["status"], "never_seen");
}

#[tokio::test]
async fn the_same_key_gives_the_same_device_and_another_body_is_refused() {
    let api = Api::new();
    let send = async |body: Value| api.call(Method::POST, "/devices", &[("Idempotency-Key", "k")], body).await;
    let first = send(json!({"device_model": MODEL})).await;
    let again = send(json!({"device_model": MODEL})).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body["device_id"], again.body["device_id"]);
    assert_eq!(first.body["position"], again.body["position"]);
    let other = send(json!({"device_model": "else"})).await;
    assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency_key_reused"));
    assert_eq!(api.stored().await, 1);
}

#[tokio::test]
async fn a_repeated_command_shows_the_device_as_it_is_by_now() {
    let api = Api::new();
    api.device("d-1").await;
    let hold = async || api.call(Method::POST, "/devices/d-1/hold", &[("Idempotency-Key", "k")], json!({})).await;
    let first = hold().await;
    assert_eq!((&first.body["held"], first.header("etag")), (&json!(true), "\"2\""));
    assert_eq!(api.post("/devices/d-1/release", Value::Null).await.status, 200);
    let again = hold().await;
    assert_eq!((again.status.as_u16(), &again.body["position"]), (200, &first.body["position"]));
    assert_eq!(
        (&again.body["held"], &again.body["version"], again.header("etag")),
        (&json!(false), &json!(3), "\"3\"")
    );
}

#[tokio::test]
async fn a_hold_ends_by_itself_and_never_in_the_past() {
    let api = Api::new();
    api.device("d-1").await;
    let later = |milliseconds: i64| clock::now() + TimeDelta::milliseconds(milliseconds);
    let hold = async |end: DateTime<Utc>| api.post("/devices/d-1/hold", json!({"until": end.to_rfc3339()})).await;
    let past = hold(later(-1_000)).await;
    assert_eq!((past.status.as_u16(), &past.body["errors"][0]["field"]), (422, &json!("until")), "{}", past.body);
    let shown = hold(later(3_600_000)).await;
    assert_eq!(shown.body["held"], true, "{}", shown.body);
    // Another one, decided two seconds ago, has ended by now.
    let command = DeviceCommand::Hold { until: Some(later(-1_000)) };
    let request = Request::new(CommandId(clock::new_id()), Actor::new("user:42").unwrap(), command);
    api.store.execute(&device_key("d-1"), Request { now: later(-2_000), ..request }).await.unwrap();
    let shown = api.call(Method::PATCH, "/devices/d-1", &[], json!({"name": "a"})).await;
    assert_eq!((&shown.body["held"], &shown.body["hold_until"]), (&json!(false), &Value::Null), "{}", shown.body);
}

#[tokio::test]
async fn a_device_is_shown_as_it_was_at_any_position_that_replies_name() {
    let api = Api::new();
    api.device("d-1").await;
    let held = api.post("/devices/d-1/hold", json!({})).await;
    api.post("/devices/d-1/release", Value::Null).await;
    let token = held.body["position"].as_str().unwrap();
    let (incarnation, sequence) = token.split_once('-').unwrap();
    for position in [sequence.to_owned(), format!("{sequence}-0"), token.to_owned()] {
        let then = api.get(&format!("/devices/d-1?at_position={position}")).await;
        assert_eq!((then.status.as_u16(), &then.body["held"]), (200, &json!(true)), "{position}: {}", then.body);
    }
    let firmware = api.firmware("2.0.0").await;
    api.post("/devices/d-1/update", json!({"firmware_id": firmware})).await;
    let gone = api.call(Method::DELETE, "/devices/d-1", &[], Value::Null).await;
    let last = gone.body["position"].as_str().unwrap().split_once('-').unwrap().1;
    for (index, lifecycle) in [(0, "active"), (1, "decommissioned"), (9, "decommissioned")] {
        let then = api.get(&format!("/devices/d-1?at_position={last}-{index}")).await;
        assert_eq!(then.body["lifecycle"], lifecycle, "{index}: {}", then.body);
    }
    for bad in ["x".to_owned(), format!("{sequence}-70000"), "1-2-3".to_owned(), format!("{sequence}-")] {
        assert_eq!(api.get(&format!("/devices/d-1?at_position={bad}")).await.status, 400, "{bad}");
    }
    let foreign = incarnation.parse::<u64>().unwrap() + 1;
    assert_eq!(api.get(&format!("/devices/d-1?at_position={foreign}-{sequence}")).await.status, 409);
    let history = api.get("/devices/d-1/history?count=true&limit=1").await;
    let shown = history.body["items"].as_array().unwrap().len();
    assert_eq!((shown, &history.body["total"]), (1, &json!(7)));
    for (position, status) in [("garbage".to_owned(), 400), (format!("{foreign}-1"), 409), (token.to_owned(), 200)] {
        let path = format!("/devices/d-1/history?min_position={position}");
        assert_eq!(api.get(&path).await.status, status, "{position}");
    }
}

#[tokio::test]
async fn a_merge_patch_keeps_clears_and_sets() {
    let api = Api::new();
    let wanted = json!({"device_id": "d-1", "manufacturer": "A", "tags": {"site": "x", "row": "1"}, "firmware_version": "1.0.0"});
    api.post("/devices", wanted).await;
    for method in [Method::PATCH, Method::PUT] {
        let patch =
            json!({"manufacturer": null, "tags": {"site": null}, "hardware_version": "2", "firmware_version": null});
        let answer = api.call(method, "/devices/d-1", &[], patch).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["manufacturer"], Value::Null);
        assert_eq!(answer.body["tags"], json!({"row": "1"}));
        assert_eq!(answer.body["hardware_version"], "2");
        assert_eq!(answer.body["versions"], json!({}));
        assert_eq!(answer.body["version"], 2, "the repeated request changes nothing");
    }
    let unknown = api.call(Method::PATCH, "/devices/none", &[], json!({"name": "x"})).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem()), (404, "device_unknown"));
}

#[tokio::test]
async fn an_eui_belongs_to_one_device_until_it_is_given_back() {
    let api = Api::new();
    let with = |id: &str| json!({"device_id": id, "lorawan_dev_eui": "0102030405060708"});
    assert_eq!(api.post("/devices", with("d-1")).await.status, 201);
    let taken = api.post("/devices", with("d-2")).await;
    assert_eq!((taken.status.as_u16(), taken.problem()), (409, "claim_taken"));
    api.device("d-3").await;
    let patch = json!({"lorawan_dev_eui": "0102030405060708"});
    assert_eq!(api.call(Method::PATCH, "/devices/d-3", &[], patch).await.status, 409);
    let cleared = api.call(Method::PATCH, "/devices/d-1", &[], json!({"lorawan_dev_eui": null})).await;
    assert_eq!(cleared.status, 200, "{}", cleared.body);
    assert_eq!(api.post("/devices", with("d-2")).await.status, 201);
    assert_eq!(api.call(Method::DELETE, "/devices/d-2", &[], Value::Null).await.status, 200);
    assert_eq!(api.post("/devices", with("d-4")).await.status, 201);
}

#[tokio::test]
async fn a_refused_registration_gives_its_eui_back() {
    let api = Api::new();
    api.device("d-1").await;
    let other = json!({"device_id": "d-1", "lorawan_dev_eui": "0102030405060708"});
    assert_eq!(api.post("/devices", other).await.problem(), "device_exists");
    let wanted = json!({"device_id": "d-2", "lorawan_dev_eui": "0102030405060708"});
    assert_eq!(api.post("/devices", wanted).await.status, 201);
}

#[tokio::test]
async fn bulk_gives_each_item_its_own_outcome() {
    let api = Api::new();
    let items = json!([{"device_id": "d-1"}, {"device_id": "bulk"}, {"device_id": "d-2", "colour": 1}, {"device_id": "d-3"}, {}]);
    let answer = api.post("/devices/bulk", items.clone()).await;
    assert_eq!(answer.header("waybill-position"), answer.body["position"]);
    let judged = api.call(Method::POST, "/devices/bulk", &[("If-Match", "\"1\"")], items).await;
    assert_eq!(judged.status, 400, "{}", judged.body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["succeeded"], &answer.body["failed"]), (&json!(2), &json!(3)));
    let statuses: Vec<u64> =
        answer.body["items"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 422, 422, 201, 422]);
    assert_eq!(answer.body["items"][4]["error"]["errors"][0]["field"], "device_id");
    let key = [("Idempotency-Key", "k"), ("Content-Type", "application/x-ndjson")];
    let lines = async || {
        let mut request =
            axum::http::Request::post("/api/v1/devices/bulk").header("Authorization", format!("Bearer {}", api.token));
        for (name, value) in key {
            request = request.header(name, value);
        }
        api.send(request.body("{\"name\":\"a\"}\n\n{\"name\":\"b\"}\n".into()).unwrap()).await
    };
    let (first, again) = (lines().await, lines().await);
    assert_eq!(first.body["succeeded"], 2, "{}", first.body);
    assert_eq!(first.body["items"], again.body["items"]);
    assert_eq!(api.stored().await, 5, "four devices and the claim of the key");
}

#[tokio::test]
async fn the_past_of_a_device_is_read_from_the_log() {
    let api = Api::new();
    api.device("d-1").await;
    let patch = json!({"hardware_version": "2", "reason": "refitted"});
    api.call(Method::PATCH, "/devices/d-1", &[("X-Correlation-Id", "00000000-0000-0000-0000-00000000000a")], patch)
        .await;
    let then = api.get(&format!("/devices/d-1?at_position={}", api.nth(1))).await;
    assert_eq!((then.status.as_u16(), &then.body["hardware_version"]), (200, &Value::Null));
    let before = api.get("/devices/d-1?at_time=2020-01-01T00:00:00Z").await;
    assert_eq!(before.status, 404);
    assert!(before.body["facts"]["registered_at"].is_string(), "{}", before.body);
    assert!(before.body["detail"].as_str().unwrap().ends_with('Z'), "{}", before.body);

    let page = api.get("/devices/d-1/history?limit=1").await;
    assert_eq!(page.body["items"][0]["type"], "device.registered", "{}", page.body);
    for shown in ["recorded_at", "stored_at"] {
        let time = page.body["items"][0][shown].as_str().unwrap();
        let then = api.get(&format!("/devices/d-1?at_time={time}")).await;
        assert_eq!(then.status, 200, "{shown} of its registration: {}", then.body);
    }
    assert_eq!(page.body["items"][0]["actor"], "user:42");
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let next = api.get(&format!("/devices/d-1/history?limit=1&cursor={cursor}")).await;
    assert_eq!(next.body["items"][0]["reason"], "refitted", "{}", next.body);
    assert_eq!(next.body["items"][0]["correlation_id"], "00000000-0000-0000-0000-00000000000a");
    assert_eq!(next.body["next_cursor"], Value::Null);
    let foreign = api.get(&format!("/firmware/00000000-0000-0000-0000-000000000001/history?cursor={cursor}")).await;
    assert_eq!(foreign.status, 400);
    assert_eq!(api.get("/devices/none/history").await.status, 404);
}

#[tokio::test]
async fn replies_to_commands_say_since_when_a_thing_is_there() {
    let api = Api::new();
    let created = api.post("/devices", json!({"device_id": "d-1", "device_model": MODEL})).await;
    let since = created.body["registered_at"].clone();
    assert!(since.is_string(), "{}", created.body);
    let patched = api.call(Method::PATCH, "/devices/d-1", &[], json!({"name": "a"})).await;
    assert_eq!((&patched.body["registered_at"], &patched.body["version"]), (&since, &json!(2)));
    let first = format!("/devices/d-1?at_position={}", api.nth(1));
    assert_eq!(api.get(&first).await.body["registered_at"], since);
    let key = device_key("d-1");
    let written = api.store.load(&key).await.unwrap();
    let read = EventStore::new(api.store.log().clone()).load(&key).await.unwrap();
    assert!(written.origin.is_some());
    assert_eq!(written.origin, read.origin);
}

#[tokio::test]
async fn a_time_that_nobody_can_keep_is_refused() {
    let api = Api::new();
    api.device("d-1").await;
    for odd in ["0000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
        let held = api.post("/devices/d-1/hold", json!({"until": odd})).await;
        assert_eq!((held.status.as_u16(), &held.body["errors"][0]["field"]), (422, &json!("until")), "{odd}");
    }
    assert_eq!(api.post("/devices/d-1/hold", json!({"until": "2100-01-01T00:00:00Z"})).await.status, 200);
}

#[tokio::test]
async fn a_held_device_is_released_again() {
    let api = Api::new();
    api.device("d-1").await;
    let held = api.post("/devices/d-1/hold", json!({"reason": "on a ship"})).await;
    assert_eq!((held.status.as_u16(), &held.body["held"]), (200, &json!(true)));
    let released = api.post("/devices/d-1/release", Value::Null).await;
    assert_eq!((released.status.as_u16(), &released.body["held"]), (200, &json!(false)));
}

#[tokio::test]
async fn each_item_of_a_bulk_is_named_and_answered_as_if_sent_alone() {
    let api = Api::new();
    api.post("/devices", json!({"device_id": "there"})).await;
    let items = json!([
        {"device_id": "there"}, {"device_id": "new"}, {"device_id": "a.b"}, {"device_id": "odd", "colour": "red"},
        {"device_id": 7}, {"name": "x"}, 8, {"device_id": "there", "name": "other"}
    ]);
    for (dry_run, created) in [("?dry_run=true", 200), ("", 201)] {
        let answer = api.post(&format!("/devices/bulk{dry_run}"), items.clone()).await;
        let told: Vec<_> =
            answer.body["items"].as_array().unwrap().iter().map(|item| (&item["id"], &item["status"])).collect();
        let expected = [
            (json!("there"), 200),
            (json!("new"), created),
            (json!("a.b"), 422),
            (json!("odd"), 422),
            (json!("7"), 422),
            (json!(null), 422),
            (json!(null), 422),
            (json!("there"), 409),
        ];
        let expected: Vec<_> = expected.iter().map(|(id, status)| (id.clone(), json!(status))).collect();
        assert_eq!(told, expected.iter().map(|(id, status)| (id, status)).collect::<Vec<_>>(), "{}", answer.body);
        assert_eq!((&answer.body["succeeded"], &answer.body["failed"]), (&json!(2), &json!(6)));
        assert_eq!(answer.body["position"].is_string(), dry_run.is_empty(), "{}", answer.body);
        assert_eq!(answer.header("waybill-position").is_empty(), !dry_run.is_empty());
    }
    let again = api.post("/devices", json!({"device_id": "there"})).await;
    assert_eq!((again.status.as_u16(), again.header("location")), (200, ""), "{}", again.body);
    let would_be = api.post("/devices?dry_run=true", json!({"device_id": "newer"})).await;
    assert_eq!((would_be.status.as_u16(), &would_be.body["position"]), (200, &Value::Null), "{}", would_be.body);
}

#[tokio::test]
async fn more_devices_than_a_request_may_have_are_refused_in_either_form() {
    let api = Api::new();
    let items = |count: usize| (0..count).map(|n| json!({"device_id": format!("d-{n}")})).collect::<Vec<_>>();
    let send = async |media_type: &'static str, body: String| {
        let request = axum::http::Request::post("/api/v1/devices/bulk")
            .header(header::AUTHORIZATION, format!("Bearer {}", api.token))
            .header(header::CONTENT_TYPE, media_type);
        api.send(request.body(Body::from(body)).unwrap()).await
    };
    let lines = |items: Vec<Value>| items.iter().map(|item| format!("{item}\n")).collect::<String>();
    for answer in [
        send("application/json", json!(items(10_001)).to_string()).await,
        send("application/x-ndjson", lines(items(10_001))).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.problem()), (413, "too_large"), "{}", answer.body);
    }
    assert_eq!(api.stored().await, 0);
    let large = json!({"device_id": "d-1", "name": "x".repeat(256 * 1024)});
    let answer = send("application/x-ndjson", lines(vec![large, json!({"device_id": "d-2"})])).await;
    let item = |n: usize| (&answer.body["items"][n]["id"], &answer.body["items"][n]["status"]);
    assert_eq!([item(0), item(1)], [(&json!("d-1"), &json!(413)), (&json!("d-2"), &json!(201))], "{}", answer.body);
}

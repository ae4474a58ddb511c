//! Time travel, positions, and records that can't be read.

use bytes::Bytes;
use chrono::{SecondsFormat, TimeDelta};
use domain::device::Device;
use domain::{DeviceId, Key, TenantId};
use runtime::clock;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Api;

impl Api {
    /// A record of a device as a newer or faulty program might have stored it.
    async fn stores_by_hand(&self, device: &str, body: String) -> u64 {
        let key = Key::<Device>::new(&TenantId::new("acme").unwrap(), &DeviceId::new(device).unwrap());
        let last = self.store.log().last_sequence(key.raw()).await.unwrap();
        self.store.log().append(key.raw(), last, Bytes::from(body)).await.unwrap()
    }

    async fn positions(&self, path: &str) -> Vec<String> {
        let history = self.get(path).await.body;
        history["items"].as_array().unwrap().iter().map(|item| item["position"].as_str().unwrap().to_owned()).collect()
    }
}

fn of_the_future(version: u64) -> String {
    json!({"v": 1, "version": version, "command_id": Uuid::from_u128(9), "command_hash": "00112233445566778899aabbccddeeff",
        "meta": {"actor": "user:42", "correlation_id": Uuid::from_u128(9), "recorded_at": clock::now()},
        "events": [{"schema": 1, "event": {"type": "device.teleported"}}]})
    .to_string()
}

/// A record that renames the device.
fn rename(version: u64, name: &str) -> String {
    let mut record: Value = serde_json::from_str(&of_the_future(version)).unwrap();
    record["command_id"] = json!(Uuid::now_v7());
    record["events"][0]["event"] = json!({"type": "device.amended", "patch": {"name": name}, "versions": {}});
    record.to_string()
}

#[tokio::test]
async fn a_firmware_is_shown_as_it_was() {
    let api = Api::new();
    let id = api.firmware("2.0.0").await;
    let path = format!("/firmware/{id}");
    let deprecated =
        api.post(&format!("{path}/deprecate"), json!({})).await.body["position"].as_str().unwrap().to_owned();
    api.post(&format!("{path}/withdraw"), json!({})).await;
    let history = api.positions(&format!("{path}/history")).await;
    let status = async |at: &str| {
        let then = api.get(&format!("{path}?at_position={at}")).await;
        assert_eq!(then.status, 200, "{at}: {}", then.body);
        assert!(then.body.get("unreadable").is_none());
        then.body["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&history[0]).await, "active");
    assert_eq!(status(&history[2]).await, "withdrawn");
    assert_eq!(status(&deprecated).await, "deprecated");
    let now = clock::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let then = api.get(&format!("{path}?at_time={now}")).await;
    assert_eq!((&then.body["status"], &then.body["filename"]), (&json!("withdrawn"), &json!("f.bin")), "{}", then.body);
    let before = api.get(&format!("{path}?at_time=2020-01-01T00:00:00Z")).await;
    assert_eq!(
        (before.status.as_u16(), before.body["facts"]["uploaded_at"].is_string()),
        (404, true),
        "{}",
        before.body
    );
    let none = api.get("/firmware/00000000-0000-0000-0000-000000000001?at_position=1").await;
    assert_eq!((none.status.as_u16(), &none.body["detail"]), (404, &json!("no such firmware")));
}

#[tokio::test]
async fn the_future_is_refused_and_the_present_named() {
    let api = Api::new();
    api.device("d-1").await;
    let firmware = api.firmware("2.0.0").await;
    let later = (clock::now() + TimeDelta::minutes(1)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let position = api.positions("/devices/d-1/history").await[0].clone();
    let (incarnation, _) = position.split_once('-').unwrap();
    for path in ["/devices/d-1".to_owned(), format!("/firmware/{firmware}")] {
        for (field, moment) in [
            ("at_time", later.clone()),
            ("at_position", "999999".to_owned()),
            ("at_position", "999999-0".to_owned()),
            ("at_position", format!("{incarnation}-999999")),
            ("at_position", format!("{incarnation}-999999.0")),
        ] {
            let answer = api.get(&format!("{path}?{field}={moment}")).await;
            let told = (answer.status.as_u16(), &answer.body["errors"][0]["field"]);
            assert_eq!(told, (422, &json!(field)), "{path} {moment}: {}", answer.body);
            let present = if field == "at_time" { "it is 2" } else { incarnation };
            assert!(answer.body["detail"].as_str().unwrap().contains(present), "{}", answer.body);
        }
    }
    for path in ["/devices/d-1/history", &format!("/firmware/{firmware}/download")] {
        let answer = api.get(&format!("{path}?min_position={incarnation}-999999")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["field"]),
            (422, &json!("min_position")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn positions_have_one_spelling_and_older_ones_are_read() {
    let api = Api::new();
    api.device("d-1").await;
    let created = api.post("/devices", json!({"device_id": "d-2"})).await.body["position"].as_str().unwrap().to_owned();
    let position = api.positions("/devices/d-2/history").await[0].clone();
    assert_eq!(position, format!("{created}.0"));
    let second = api.nth(2);
    for at in [&created, &position, &second.to_string(), &format!("{second}-0")] {
        for query in ["/devices/d-2?at_position", "/devices/d-2/history?min_position"] {
            assert_eq!(api.get(&format!("{query}={at}")).await.status, 200, "{query}={at}");
        }
    }
    let both = [("Waybill-Min-Position", created.as_str())];
    let path = format!("/devices/d-2/history?min_position={position}");
    let differ = api.call(axum::http::Method::GET, &path, &both, Value::Null).await;
    assert_eq!(differ.status, 400, "{}", differ.body);
}

#[tokio::test]
async fn an_unreadable_record_is_shown_in_its_place() {
    let api = Api::new();
    api.device("d-1").await;
    let newer = api.stores_by_hand("d-1", of_the_future(2)).await;
    let broken = api.stores_by_hand("d-1", "{".to_owned()).await;
    let named = api.stores_by_hand("d-1", rename(6, "known")).await;
    let history = api.get("/devices/d-1/history?count=true").await;
    assert_eq!(history.status, 200, "{}", history.body);
    let items = history.body["items"].as_array().unwrap();
    let types: Vec<&str> = items.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["device.registered", "unreadable", "unreadable", "device.amended"]);
    for (item, sequence) in [(&items[1], newer), (&items[2], broken)] {
        assert!(item["position"].as_str().unwrap().ends_with(&format!("-{sequence}")), "{item}");
        assert!(item["error"].is_string() && item["stored_at"].is_string() && item["event"].is_null(), "{item}");
    }
    assert!(items[1]["error"].as_str().unwrap().contains("device.teleported"), "{}", items[1]);
    assert_eq!((&items[1]["actor"], &items[2]["actor"]), (&json!("user:42"), &Value::Null));
    assert_eq!(history.body["total"], 6);
    let mut path = "/devices/d-1/history?limit=1".to_owned();
    for item in items {
        let page = api.get(&path).await.body;
        assert_eq!(page["items"], json!([item]));
        path = format!("/devices/d-1/history?limit=1&cursor={}", page["next_cursor"].as_str().unwrap_or_default());
    }
    let then = api.get(&format!("/devices/d-1?at_position={named}")).await;
    assert_eq!((then.status.as_u16(), &then.body["name"]), (200, &json!("known")), "{}", then.body);
    assert_eq!(then.body["unreadable"].as_array().map(Vec::len), Some(2), "{}", then.body);
    let whole = api.get("/devices/d-1?at_position=1").await;
    assert!(whole.body.get("unreadable").is_none(), "{}", whole.body);
    assert_eq!(
        api.post("/devices/d-1/hold", json!({})).await.status,
        500,
        "a command needs all records of its aggregate"
    );
}

#[tokio::test]
async fn a_history_is_read_in_either_order_page_by_page() {
    let api = Api::new();
    api.device("d-1").await;
    api.stores_by_hand("d-1", of_the_future(2)).await;
    for (version, name) in [(3, "a"), (4, "b"), (5, "c")] {
        api.stores_by_hand("d-1", rename(version, name)).await;
    }
    let pages = async |order: &str| {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/devices/d-1/history?limit=2{order}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let items = page.body["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            all.extend(items.iter().map(|item| item["version"].as_u64().unwrap()));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    };
    assert_eq!(pages("").await, [1, 2, 3, 4, 5]);
    assert_eq!(pages("&order=asc").await, [1, 2, 3, 4, 5]);
    assert_eq!(pages("&order=desc").await, [5, 4, 3, 2, 1]);
    assert_eq!(api.get("/devices/d-1/history?order=up").await.status, 400);
    let ascending = api.get("/devices/d-1/history?limit=2").await.body["next_cursor"].as_str().unwrap().to_owned();
    let other = api.get(&format!("/devices/d-1/history?order=desc&limit=2&cursor={ascending}")).await;
    assert_eq!(other.status, 400, "a cursor is of one order: {}", other.body);
    assert_eq!(api.get("/devices/none/history?order=desc").await.status, 404);
}

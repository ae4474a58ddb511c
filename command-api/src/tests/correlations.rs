//! The correlation ids and causes of commands.

use axum::http::Method;
use domain::device::{Device, DeviceCommand};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::Request;
use runtime::clock;
use serde_json::{Value, json};

use super::{Api, MODEL};

const ANNA: &str = "00000000-0000-0000-0000-00000000000a";
const BERT: &str = "00000000-0000-0000-0000-00000000000b";

/// Sends a command with this correlation id, or without one.
async fn send(api: &Api, method: Method, path: &str, correlation_id: Option<&str>, body: Value) {
    let headers: Vec<_> = correlation_id.map(|id| ("X-Correlation-Id", id)).into_iter().collect();
    let answer = api.call(method, path, &headers, body).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.body);
}

/// All items of a resource's history, oldest first.
async fn history(api: &Api, path: &str) -> Vec<Value> {
    api.get(&format!("{path}/history?limit=200")).await.body["items"].as_array().unwrap().clone()
}

/// The events of a history with their correlation ids.
fn correlations(history: &[Value]) -> Vec<(&str, &str)> {
    history.iter().map(|item| (item["type"].as_str().unwrap(), item["correlation_id"].as_str().unwrap())).collect()
}

/// The device reports its presence.
async fn hears(api: &Api, device: &str) {
    let key = Key::<Device>::new(&TenantId::new("acme").unwrap(), &DeviceId::new(device).unwrap());
    let actor = Actor::new("device").unwrap();
    let request = Request::new(CommandId(clock::new_id()), actor, DeviceCommand::SeenOnline);
    api.store.execute(&key, request).await.unwrap();
}

#[tokio::test]
async fn a_campaign_goes_on_with_the_id_of_its_first_command() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let wanted = json!({"name": "Q4", "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true});
    let mut created = Vec::new();
    for id in [Some(ANNA), None] {
        let headers: Vec<_> = id.map(|id| ("X-Correlation-Id", id)).into_iter().collect();
        let answer = api.call(Method::POST, "/campaigns", &headers, wanted.clone()).await;
        let path = format!("/campaigns/{}", answer.body["campaign_id"].as_str().unwrap());
        let mut changed = wanted.clone();
        changed["batch_size"] = json!(7);
        send(&api, Method::PUT, &path, Some(BERT), changed.clone()).await;
        changed["batch_size"] = json!(8);
        send(&api, Method::PUT, &path, None, changed).await;
        created.push(history(&api, &path).await);
    }
    let own = created[1][0]["command_id"].as_str().unwrap().to_owned();
    for (history, first) in created.iter().zip([ANNA, &own]) {
        let expected = [("campaign.created", first), ("campaign.amended", BERT), ("campaign.amended", first)];
        assert_eq!(correlations(history), expected);
        assert!(
            history.iter().all(|item| item["causation_id"].is_null()),
            "each was started by an operator: {history:?}"
        );
    }
}

#[tokio::test]
async fn what_becomes_of_an_update_goes_back_to_the_order() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let order = json!({"firmware_id": firmware});
    send(&api, Method::POST, "/devices/d-1/update", Some(ANNA), order).await;
    hears(&api, "d-1").await;
    send(&api, Method::POST, "/updates/d-1~1/cancel", None, json!({})).await;
    let items = history(&api, "/devices/d-1").await;
    let of = |kind: &str| items.iter().find(|item| item["type"] == kind).unwrap();
    let (queued, dispatched, cancelled) = (of("update.queued"), of("update.dispatched"), of("update.cancelling"));
    for event in [queued, of("update.waiting"), dispatched, cancelled] {
        assert_eq!(event["correlation_id"], ANNA, "{event}");
    }
    assert_eq!(dispatched["causation_id"], queued["command_id"], "the device's report advanced the requested update");
    let queued_at = queued["position"].as_str().unwrap().split_once('.').unwrap().0;
    assert_eq!(dispatched["causation_position"], queued_at, "{dispatched}");
    assert!(
        queued["causation_id"].is_null() && cancelled["causation_id"].is_null(),
        "both were started by an operator"
    );
}

#[tokio::test]
async fn a_retry_goes_on_unless_it_says_otherwise() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    for (device, given) in [("d-1", None), ("d-2", Some(BERT))] {
        api.device(device).await;
        let path = format!("/devices/{device}");
        send(&api, Method::POST, &format!("{path}/update"), Some(ANNA), json!({"firmware_id": firmware})).await;
        send(&api, Method::POST, &format!("/updates/{device}~1/cancel"), None, json!({})).await;
        send(&api, Method::POST, &format!("/updates/{device}~1/retry"), given, json!({})).await;
        hears(&api, device).await;
        let items = history(&api, &path).await;
        let retried: Vec<_> = correlations(&items).into_iter().skip(4).collect();
        let carries = given.unwrap_or(ANNA);
        let expected = ["update.queued", "update.waiting", "device.came_online", "update.dispatched"];
        assert_eq!(retried, expected.map(|kind| (kind, carries)), "{device}");
    }
}

#[tokio::test]
async fn what_is_done_to_a_device_has_an_id_of_its_own_and_its_updates_keep_theirs() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    send(&api, Method::POST, "/devices/d-1/update", Some(ANNA), json!({"firmware_id": firmware})).await;
    send(&api, Method::DELETE, "/devices/d-1", Some(BERT), Value::Null).await;
    let items = history(&api, "/devices/d-1").await;
    let last: Vec<_> = correlations(&items).into_iter().skip(3).collect();
    assert_eq!(last, [("update.cancelled", ANNA), ("device.decommissioned", BERT)]);
    assert_eq!(items[3]["causation_id"], items[1]["command_id"], "{}", items[3]);
}

#[tokio::test]
async fn all_that_one_request_stores_carries_one_id() {
    let api = Api::new();
    let device = json!({"device_id": "d-1", "device_model": MODEL, "lorawan_dev_eui": "0102030405060708"});
    for headers in [&[][..], &[("Idempotency-Key", "k-1")]] {
        let before = api.head().await;
        let mut device = device.clone();
        device["device_id"] = json!(format!("d-{before}"));
        device["lorawan_dev_eui"] = json!(format!("{before:016x}"));
        let answer = api.call(Method::POST, "/devices", headers, device).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let mut records = api.store.log().subscribe(before + 1);
        let mut correlations = std::collections::BTreeSet::new();
        while let Some(Ok(event_store::Delivery::Record(raw))) = futures::StreamExt::next(&mut records).await {
            let record = event_store::Record::decode(raw.position, &raw.body).unwrap();
            correlations.insert(record.meta.correlation_id);
        }
        assert!(api.head().await > before + 1, "a claim is stored besides the device");
        assert_eq!(correlations.len(), 1, "{headers:?}");
    }
}

#[tokio::test]
async fn a_trace_context_is_kept_where_it_is_one() {
    let api = Api::new();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (device, given, kept) in [("d-1", trace, json!(trace)), ("d-2", "00-secret", Value::Null)] {
        let body = json!({"device_id": device, "device_model": MODEL});
        let answer = api.call(Method::POST, "/devices", &[("traceparent", given)], body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(history(&api, &format!("/devices/{device}")).await[0]["traceparent"], kept);
        hears(&api, device).await;
        assert_eq!(history(&api, &format!("/devices/{device}")).await[1]["traceparent"], Value::Null);
    }
}

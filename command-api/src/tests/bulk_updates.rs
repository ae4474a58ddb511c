//! Updates of many devices by one request.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, Api};

fn outcomes(answer: &Answer) -> Vec<Value> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let kind = |item: &Value| item["error"]["type"].as_str().unwrap_or_default().replace("/problems/", "");
    items.iter().map(|item| json!([item["id"], item["status"], item["update_id"], kind(item)])).collect()
}

#[tokio::test]
async fn each_named_device_is_answered_as_if_it_were_updated_alone() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    for id in ["d-1", "d-2", "busy"] {
        api.device(id).await;
    }
    api.post("/devices", json!({"device_id": "other", "device_model": "else"})).await;
    assert_eq!(api.post("/devices/busy/update", json!({"firmware_id": firmware})).await.status, 201);
    let ids = ["d-1", "d-2", "busy", "other", "nobody", "a.b", "d-1"];
    let wanted = json!({"device_ids": ids, "firmware_id": firmware, "priority": "high", "require_digest_report": true});
    for (dry_run, created) in [("?dry_run=true", 200), ("", 201)] {
        let answer = api.post(&format!("/devices/bulk/update{dry_run}"), wanted.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let expected = [
            json!(["d-1", created, "d-1~1", ""]),
            json!(["d-2", created, "d-2~1", ""]),
            json!(["busy", 409, null, "update_in_progress"]),
            json!(["other", 409, null, "not_eligible"]),
            json!(["nobody", 404, null, "device_unknown"]),
            json!(["a.b", 422, null, "invalid"]),
            json!(["d-1", 422, null, "invalid"]),
        ];
        assert_eq!(outcomes(&answer), expected, "{}", answer.body);
        assert_eq!((&answer.body["succeeded"], &answer.body["failed"]), (&json!(2), &json!(5)));
        assert_eq!(answer.body["items"][2]["error"]["facts"]["ordinal"], 1);
        assert_eq!(answer.body["items"][6]["error"]["errors"][0]["field"], "device_ids[6]");
        assert_eq!(answer.body["position"].is_string(), dry_run.is_empty());
    }
    let queued = api.post("/updates/d-2~1/cancel", json!({"reason": "enough"})).await;
    assert_eq!((&queued.body["priority"], &queued.body["require_digest_report"]), (&json!("high"), &json!(true)));
}

#[tokio::test]
async fn a_bulk_update_can_be_repeated_with_its_key_even_if_its_firmware_is_withdrawn_since() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let key = [("Idempotency-Key", "k")];
    let wanted = json!({"device_ids": ["d-1", "nobody"], "firmware_id": firmware});
    let send = async |body: &Value| api.call(Method::POST, "/devices/bulk/update", &key, body.clone()).await;
    let first = send(&wanted).await;
    assert_eq!(first.body["succeeded"], 1, "{}", first.body);
    let other = send(&json!({"device_ids": ["d-1"], "firmware_id": firmware})).await;
    assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency_key_reused"));
    let by_filter = json!({"target_filters": {"device_type": "x"}, "firmware_id": firmware});
    assert!(send(&by_filter).await.status.as_u16() >= 422);
    assert_eq!(send(&wanted).await.body, first.body);
    api.post(&format!("/firmware/{firmware}/withdraw"), json!({"reason": "broken"})).await;
    let again = send(&wanted).await;
    assert_eq!((&again.body["items"][0], &again.body["position"]), (&first.body["items"][0], &first.body["position"]));
    let fresh = api.post("/devices/bulk/update", wanted).await;
    assert_eq!((fresh.status.as_u16(), fresh.problem()), (409, "firmware_withdrawn"), "{}", fresh.body);
}

#[tokio::test]
async fn an_order_for_nobody_for_too_many_or_for_two_kinds_of_targets_is_refused() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let stored = api.stored().await;
    let many: Vec<String> = (0..1_001).map(|n| format!("d-{n}")).collect();
    let filters = json!({"device_type": "frame"});
    for (more, field) in [
        (json!({}), "device_ids"),
        (json!({"device_ids": []}), "device_ids"),
        (json!({"device_ids": many}), "device_ids"),
        (json!({"target_filters": {}}), "device_ids"),
        (json!({"device_ids": ["d-1"], "target_filters": filters}), "target_filters"),
        (json!({"device_ids": ["d-1"], "group": "hall-3"}), "group"),
        (json!({"group": "nowhere"}), "group"),
        (json!({"group": "a.b", "target_filters": filters}), "group"),
        (json!({"device_ids": ["d-1"], "name": "n"}), "name"),
        (json!({"device_ids": ["d-1"], "timeout_minutes": 0}), "timeout_minutes"),
        (json!({"device_ids": ["d-1"], "reason": "x".repeat(1_001)}), "reason"),
        (json!({"device_ids": ["d-1"], "colour": 1}), "colour"),
        (json!({"target_filters": {"firmware_version": "<<1"}}), "target_filters.firmware_version"),
        (json!({"target_filters": filters, "name": ""}), "name"),
        (json!({"target_filters": filters, "timeout_minutes": 0}), "timeout_minutes"),
    ] {
        let mut body = more.clone();
        body["firmware_id"] = json!(firmware);
        let answer = api.post("/devices/bulk/update", body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!(field)), "{more}");
    }
    let unknown = json!({"device_ids": ["d-1"], "firmware_id": "8f9f7c9e-0000-0000-0000-000000000000"});
    assert_eq!(api.post("/devices/bulk/update", unknown).await.body["errors"][0]["field"], "firmware_id");
    // Filters need the read models, and PostgreSQL is down: no draft is left.
    let matching = api.post("/devices/bulk/update", json!({"target_filters": filters, "firmware_id": firmware})).await;
    assert_eq!((matching.status.as_u16(), matching.problem()), (503, "postgresql_unavailable"), "{}", matching.body);
    assert_eq!(api.stored().await, stored);
}

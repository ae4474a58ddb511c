use axum::http::Method;
use serde_json::{Value, json};

use super::Api;

#[tokio::test]
async fn an_update_is_queued_for_a_device() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let order = json!({"device_id": "d-1", "firmware_id": firmware, "priority": "high", "timeout_minutes": 30});
    let answer = api.post("/devices/d-1/update", order.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.header("location"), "/api/v1/devices/d-1/updates/1");
    assert_eq!((&answer.body["update_id"], &answer.body["ordinal"]), (&json!("d-1~1"), &json!(1)));
    assert_eq!((&answer.body["phase"], &answer.body["status"]), (&json!("waiting"), &json!("scheduled")));
    assert_eq!((&answer.body["workflow_status"], &answer.body["wait_reason"]), (&json!("QUEUED"), &json!("offline")));
    assert!(answer.body["queued_at"].is_string(), "{}", answer.body);
    assert_eq!((&answer.body["from_version"], &answer.body["priority"]), (&json!("1.0.0"), &json!("high")));

    let again = api.post("/devices/d-1/update", order.clone()).await;
    assert_eq!((again.status.as_u16(), again.problem()), (409, "update_in_progress"));
    let put = api.call(Method::PUT, "/devices/d-1/ota/update", &[], order).await;
    assert_eq!((put.status.as_u16(), &put.body["update_id"]), (200, &json!("d-1~1")));
}

#[tokio::test]
async fn an_update_that_cannot_be_right_is_refused() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let unknown = json!({"firmware_id": "8f9f7c9e-0000-0000-0000-000000000000"});
    let cases = [
        ("/devices/nobody/update", unknown, 422, "firmware_id"),
        ("/devices/nobody/update", json!({"firmware_id": firmware}), 404, ""),
        ("/devices/d-1/update", json!({"firmware_id": firmware, "device_id": "d-2"}), 422, "device_id"),
        ("/devices/d-1/update", json!({"firmware_id": firmware, "timeout_minutes": 0}), 422, "timeout_minutes"),
        (
            "/devices/d-1/update",
            json!({"firmware_id": firmware, "preconditions": {"min_battery_percent": 0}}),
            422,
            "preconditions.min_battery_percent",
        ),
        ("/devices/d-1/update", json!({}), 422, "firmware_id"),
    ];
    for (path, body, status, field) in cases {
        let answer = api.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["field"].as_str().unwrap_or_default(), field, "{path} {body}");
    }
    api.post("/devices", json!({"device_id": "other", "device_model": "else"})).await;
    let model = api.post("/devices/other/update", json!({"firmware_id": firmware})).await;
    assert_eq!((model.status.as_u16(), model.problem()), (409, "not_eligible"));
    assert_eq!(model.body["facts"]["reason"], "wrong_model");
}

#[tokio::test]
async fn a_cancelled_update_can_be_tried_again() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    api.post("/devices/d-1/update", json!({"firmware_id": firmware})).await;
    let early = api.post("/updates/d-1~1/retry", Value::Null).await;
    assert_eq!((early.status.as_u16(), early.problem()), (409, "update_not_ended"));
    let cancelled = api.post("/updates/d-1~1/cancel", json!({"reason": "wrong one"})).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.body["status"]), (200, &json!("cancelled")));
    let retried = api.post("/updates/d-1~1/retry", Value::Null).await;
    assert_eq!(retried.status, 201, "{}", retried.body);
    assert_eq!((&retried.body["update_id"], &retried.body["retry_of"]), (&json!("d-1~2"), &json!("d-1~1")));
    assert_eq!(api.post("/updates/d-1~9/cancel", Value::Null).await.status, 404);
    assert_eq!(api.post("/updates/nonsense/cancel", Value::Null).await.status, 404);
}

#[tokio::test]
async fn an_update_that_its_device_has_forgotten_is_in_the_log() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    for ordinal in 1..=17 {
        let queued = api.post("/devices/d-1/update", json!({"firmware_id": firmware})).await;
        assert_eq!(queued.body["ordinal"], ordinal, "{}", queued.body);
        assert_eq!(api.post(&format!("/updates/d-1~{ordinal}/cancel"), Value::Null).await.status, 200);
    }
    let ended = api.post("/updates/d-1~1/cancel", Value::Null).await;
    assert_eq!((ended.status.as_u16(), ended.problem()), (409, "update_ended"));
    let retried = api.post("/updates/d-1~1/retry", Value::Null).await;
    assert_eq!((retried.status.as_u16(), &retried.body["retry_of"]), (201, &json!("d-1~1")), "{}", retried.body);
    assert_eq!(api.post("/updates/d-1~19/retry", Value::Null).await.status, 404);
    assert_eq!(api.post("/updates/d-1~19/cancel", Value::Null).await.status, 404);
}

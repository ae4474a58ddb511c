//! Tenants, by those who run the installation, without PostgreSQL.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Api, token};
use crate::caller::Role;

#[tokio::test]
async fn each_request_about_a_tenant_is_carried_out_once() {
    let api = Api::new().bearing(token("default", Role::PlatformAdmin));
    let requests = [
        (Method::POST, "/tenants", json!({"tenant_id": "new", "name": "New"})),
        (Method::PATCH, "/tenants/new", json!({"quotas": {"devices": 5}})),
        (Method::POST, "/tenants/new/suspend", json!({"reason": "unpaid"})),
        (Method::POST, "/tenants/new/reinstate", json!({})),
        (Method::DELETE, "/tenants/new", json!({"reason": "over"})),
    ];
    for (method, path, body) in requests {
        let headers = [("Idempotency-Key", path)];
        let first = api.call(method.clone(), path, &headers, body.clone()).await;
        assert!(first.status.is_success(), "{method} {path}: {}", first.body);
        let stored = api.stored().await;
        let again = api.call(method.clone(), path, &headers, body).await;
        assert_eq!((again.status, &again.body["position"]), (first.status, &first.body["position"]), "{method} {path}");
        assert_eq!(api.stored().await, stored, "{method} {path}");
    }
    let closed = api.get("/tenants/new").await;
    assert_eq!((&closed.body["status"], &closed.body["quotas"]["devices"]), (&json!("closed"), &json!(5)));
    assert_eq!(api.call(Method::POST, "/tenants", &[], json!({"tenant_id": "New"})).await.status, 422);
    assert_eq!(api.get("/tenants/none").await.status, 404);
}

#[tokio::test]
async fn a_suspended_tenant_opens_nothing_but_what_the_platform_may() {
    let api = Api::new();
    let platform = api.bearing(token("default", Role::PlatformAdmin));
    platform.call(Method::POST, "/tenants/acme/suspend", &[], json!({"reason": "unpaid"})).await;
    let refused = api.get("/devices/d-1/history").await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "tenant_suspended"));
    assert_eq!(platform.get("/tenants/acme").await.body["status"], "suspended");
    platform.call(Method::POST, "/tenants/acme/reinstate", &[], Value::Null).await;
    assert_eq!(api.get("/devices/d-1/history").await.status, 404);
}

#[tokio::test]
async fn a_frozen_tenant_takes_no_update_of_a_device() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    assert_eq!(api.post("/freeze", json!({"reason": "incident"})).await.body["frozen"], true);
    let order = json!({"firmware_id": firmware});
    let refused = api.post("/devices/d-1/update", order.clone()).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "tenant_frozen"));
    let bulk = api.post("/devices/bulk/update", json!({"device_ids": ["d-1"], "firmware_id": firmware})).await;
    assert_eq!((bulk.status.as_u16(), bulk.problem()), (409, "tenant_frozen"));
    api.post("/unfreeze", json!({"reason": "mended"})).await;
    assert_eq!(api.post("/devices/d-1/update", order).await.status, 201);
}

//! LoRaWAN devices and connections to network servers, without PostgreSQL and without secrets.

use axum::http::Method;
use domain::tenant::{Tenant, TenantCommand};
use domain::{Actor, CommandId, Key, TenantId};
use event_store::Request;
use runtime::clock;
use serde_json::{Value, json};

use super::{Api, token};
use crate::caller::Role;

const EUI: &str = "0102030405060708";
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

async fn lorawan_device(api: &Api, id: &str, more: Value) -> Value {
    let mut body = json!({"device_id": id, "lorawan_dev_eui": EUI});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = api.post("/devices", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_device_with_an_application_waits_for_its_copy() {
    let api = Api::new();
    let device = lorawan_device(&api, "d-1", json!({"join_eui": "00000000000000AA"})).await;
    assert_eq!((&device["sync_state"], &device["join_eui"]), (&json!("not_applicable"), &json!("00000000000000aa")));
    let answer = api.post("/devices/d-1/sync", json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (409, "network_not_applicable"));
    let patch = json!({"chirpstack_app_id": "1", "join_eui": null});
    let amended = api.call(Method::PATCH, "/devices/d-1", &[], patch).await;
    assert_eq!((&amended.body["sync_state"], &amended.body["join_eui"]), (&json!("pending"), &Value::Null));
    assert_eq!((&amended.body["chirpstack_synced"], &amended.body["sync_error"]), (&json!(false), &Value::Null));
    let (answer, before) = (api.post("/devices/d-1/sync", json!({})).await, api.stored().await);
    assert_eq!((answer.status.as_u16(), &answer.body["sync_state"]), (200, &json!("pending")));
    assert_eq!(api.stored().await, before, "it is pending already");
    let wrong = api.call(Method::PATCH, "/devices/d-1", &[], json!({"join_eui": "xyz"})).await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["errors"][0]["field"]), (422, &json!("join_eui")));
}

#[tokio::test]
async fn join_keys_are_checked_never_shown_and_never_stored_in_the_clear() {
    let api = Api::new();
    lorawan_device(&api, "d-1", json!({"chirpstack_app_id": "1"})).await;
    let path = "/devices/d-1/lorawan-keys";
    let shown = api.get(path).await;
    assert_eq!((shown.status.as_u16(), &shown.body["nwk_key"]), (200, &json!("missing")));
    let put = async |body: Value| api.call(Method::PUT, path, &[], body).await;
    for (body, field) in [
        (json!({"nwk_key": "0102"}), "nwk_key"),
        (json!({"nwk_key": KEY, "app_key": "x".repeat(32)}), "app_key"),
        (json!({"nwk_key": KEY, "gen_app_key": ""}), "gen_app_key"),
    ] {
        let refused = put(body).await;
        assert_eq!((refused.status.as_u16(), &refused.body["errors"][0]["field"]), (422, &json!(field)));
        assert!(!refused.body.to_string().contains(KEY));
    }
    let before = api.stored().await;
    let unkept = put(json!({"nwk_key": KEY})).await;
    assert_eq!((unkept.status.as_u16(), unkept.problem()), (503, "secrets_unavailable"));
    assert_eq!(api.stored().await, before, "without a place for the keys there is no event");
    let dry = api.call(Method::PUT, &format!("{path}?dry_run=true"), &[], json!({"nwk_key": KEY})).await;
    assert_eq!((dry.status.as_u16(), &dry.body["nwk_key"]), (200, &json!("set")));
    let unknown = api.call(Method::PUT, "/devices/d-9/lorawan-keys", &[], json!({"nwk_key": KEY})).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(api.get("/devices/d-9/lorawan-keys").await.status, 404);
}

#[tokio::test]
async fn a_connection_is_for_admins_of_the_tenant_and_the_platform() {
    let api = Api::new();
    let path = "/tenants/acme/chirpstack";
    assert_eq!(api.get(path).await.status, 404);
    for (caller, expected) in [
        (token("acme", Role::Operator), 403),
        (token("rival", Role::Admin), 404),
        (token("acme", Role::Admin), 404),
        (token("default", Role::PlatformAdmin), 404),
    ] {
        assert_eq!(api.bearing(caller).get(path).await.status.as_u16(), expected);
    }
    let connection = json!({"url": "http://lns:8080", "chirpstack_tenant_id": "t-1", "api_key": "geheim"});
    let unkept = api.call(Method::PUT, path, &[], connection).await;
    assert_eq!((unkept.status.as_u16(), unkept.problem()), (503, "secrets_unavailable"));
    assert!(!unkept.body.to_string().contains("geheim"));
}

#[tokio::test]
async fn a_secret_that_was_given_for_one_address_is_not_kept_for_another() {
    let api = Api::new();
    let tenant = TenantId::new("acme").unwrap();
    let connection = json!({
        "url": "http://lns:8080", "chirpstack_tenant_id": "t-1", "api_key": "secret:chirpstack-api-key-1",
        "mqtt": {"url": "mqtt://broker:1883", "username": "waybill", "password": "secret:chirpstack-mqtt-1"},
    });
    let command = TenantCommand::ConnectChirpStack { connection: serde_json::from_value(connection).unwrap() };
    let request = Request::new(CommandId(clock::new_id()), Actor::new("user:1").unwrap(), command);
    api.store.execute(&Key::<Tenant>::new(&tenant, &tenant), request).await.unwrap();
    let put = async |url: &str, broker: &str| {
        let wanted = json!({"url": url, "chirpstack_tenant_id": "t-1", "mqtt": {"url": broker}});
        api.call(Method::PUT, "/tenants/acme/chirpstack", &[], wanted).await
    };
    for (url, broker, field) in [
        ("http://other:8080", "mqtt://broker:1883", "api_key"),
        ("http://lns:8080", "mqtt://other:1883", "mqtt.password"),
    ] {
        let refused = put(url, broker).await;
        assert_eq!((refused.status.as_u16(), &refused.body["errors"][0]["field"]), (422, &json!(field)));
    }
    let same = put("http://lns:8080", "mqtt://broker:1883").await;
    assert_eq!(same.problem(), "secrets_unavailable", "both may stay: {}", same.body);
}

//! Repeated requests with the same key give the first outcome, even if what they need has changed since.

use std::collections::BTreeMap;

use axum::http::Method;
use domain::campaign::{Campaign, CampaignCommand};
use domain::device::{Device, DeviceCommand, Profile};
use domain::firmware::{Firmware, FirmwarePolicy};
use domain::values::Transport;
use domain::{Actor, CampaignId, CommandId, DeviceId, FirmwareId, Key, TenantId};
use event_store::{CommandHash, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Api};

const KEY: [(&str, &str); 1] = [("Idempotency-Key", "k")];

impl Api {
    async fn keyed(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call(method, path, &KEY, body).await
    }

    async fn withdrawn(&self, firmware: &str) {
        assert_eq!(self.post(&format!("/firmware/{firmware}/withdraw"), Value::Null).await.status, 200);
    }
}

fn is_refused(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.problem()), (422, "idempotency_key_reused"), "{}", answer.body);
}

#[tokio::test]
async fn a_patch_that_depends_on_the_device() {
    let api = Api::new();
    api.device("d-1").await;
    for method in [Method::PATCH, Method::PUT] {
        let first = api.keyed(method.clone(), "/devices/d-1", json!({"versions": null, "name": "a"})).await;
        assert_eq!(first.status, 200, "{}", first.body);
        api.call(Method::PATCH, "/devices/d-1", &[], json!({"versions": {"firmware": "3"}})).await;
        let stored = api.stored().await;
        let twin = "/tenants/acme/devices/d-1";
        let again = api.keyed(method.clone(), twin, json!({"name": "a", "versions": null})).await;
        assert_eq!((again.status.as_u16(), &again.body["position"]), (200, &first.body["position"]), "{}", again.body);
        is_refused(&api.keyed(method, "/devices/d-1", json!({"versions": null})).await);
        assert_eq!(api.stored().await, stored);
    }
}

#[tokio::test]
async fn updates_and_campaigns_of_a_firmware_that_was_withdrawn_since() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let order = json!({"firmware_id": firmware});
    let wanted =
        json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_devices": ["d-1"]});
    let update = api.keyed(Method::POST, "/devices/d-1/update", order.clone()).await;
    let campaign = api.keyed(Method::POST, "/campaigns", wanted.clone()).await;
    assert_eq!((update.status.as_u16(), campaign.status.as_u16()), (201, 201), "{} {}", update.body, campaign.body);
    let path = format!("/campaigns/{}", campaign.body["campaign_id"].as_str().unwrap());
    let cloned = api.keyed(Method::POST, &format!("{path}/clone"), json!({})).await;
    let mut changed = wanted.clone();
    changed["batch_size"] = json!(3);
    let replaced = api.keyed(Method::PUT, &path, changed.clone()).await;
    api.post("/updates/d-1~1/cancel", Value::Null).await;
    let retried = api.keyed(Method::POST, "/updates/d-1~1/retry", json!({})).await;
    assert_eq!((cloned.status.as_u16(), replaced.status.as_u16(), retried.status.as_u16()), (201, 200, 201));
    api.withdrawn(&firmware).await;
    let stored = api.stored().await;
    for (method, path, body, first) in [
        (Method::POST, "/devices/d-1/update", order, update),
        (Method::POST, "/campaigns", wanted, campaign),
        (Method::POST, &format!("{path}/clone"), json!({}), cloned),
        (Method::PUT, &path, changed, replaced),
        (Method::POST, "/updates/d-1~1/retry", json!({}), retried),
    ] {
        let again = api.keyed(method.clone(), path, body.clone()).await;
        assert_eq!(again.status, first.status, "{method} {path}: {}", again.body);
        assert_eq!(again.body["position"], first.body["position"], "{method} {path}");
        let mut other = body;
        other["reason"] = json!("another one");
        is_refused(&api.keyed(method, path, other).await);
    }
    is_refused(&api.keyed(Method::POST, "/updates/d-1~2/retry", json!({})).await);
    assert_eq!(api.stored().await, stored);
}

/// PostgreSQL is down, so the first request is stored directly.
#[tokio::test]
async fn a_start_although_its_plan_is_another_by_now() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let wanted = json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let id = api.post("/campaigns", wanted).await.body["campaign_id"].as_str().unwrap().to_owned();
    let path = format!("/campaigns/{id}/start");
    let tenant = TenantId::new("acme").unwrap();
    let firmware_id: FirmwareId = firmware.parse().unwrap();
    let firmware = api.store.load(&Key::<Firmware>::new(&tenant, &firmware_id)).await.unwrap();
    let snapshot = Box::new(firmware.aggregate.snapshot_for_new_work(firmware_id, &FirmwarePolicy::default()).unwrap());
    let command = CampaignCommand::Start { plan: Uuid::from_u128(7), firmware: snapshot, expected: None };
    let route = "POST /campaigns/{campaign_id}/start";
    let command_id = CommandId::derive(&["http", "acme", "user:42", route, "k"]);
    let digest = CommandHash::of(&(&path, json!({"reason": "now"}))).unwrap();
    let request =
        Request { request_digest: Some(digest), ..Request::new(command_id, Actor::new("user:42").unwrap(), command) };
    let key = Key::<Campaign>::new(&tenant, &id.parse::<CampaignId>().unwrap());
    api.store.execute(&key, request).await.unwrap();
    api.post(&format!("/campaigns/{id}/cancel"), json!({})).await;
    let again = api.keyed(Method::POST, &path, json!({"reason": "now"})).await;
    assert_eq!((again.status.as_u16(), &again.body["campaign_id"]), (200, &json!(id)), "{}", again.body);
    is_refused(&api.keyed(Method::POST, &path, json!({"reason": "later"})).await);
}

#[tokio::test]
async fn a_registration_whose_eui_has_gone_elsewhere() {
    let api = Api::new();
    let wanted = json!({"device_id": "d-1", "lorawan_dev_eui": "0102030405060708"});
    let first = api.keyed(Method::POST, "/devices", wanted.clone()).await;
    api.call(Method::PATCH, "/devices/d-1", &[], json!({"lorawan_dev_eui": null})).await;
    api.post("/devices", json!({"device_id": "d-2", "lorawan_dev_eui": "0102030405060708"})).await;
    let again = api.keyed(Method::POST, "/devices", wanted).await;
    assert_eq!((again.status.as_u16(), &again.body["position"]), (201, &first.body["position"]), "{}", again.body);
}

#[tokio::test]
async fn a_key_belongs_to_one_device_also_with_ids_of_the_clients() {
    let api = Api::new();
    let send = async |body: Value| api.keyed(Method::POST, "/devices", body).await;
    api.device("there").await;
    assert_eq!(send(json!({"device_id": "there"})).await.problem(), "device_exists");
    let would_be = api.call(Method::POST, "/devices?dry_run=true", &KEY, json!({"device_id": "d-0"})).await;
    assert_eq!(would_be.status, 200, "{}", would_be.body);
    assert_eq!(send(json!({"device_id": "d-1"})).await.status, 201, "a refused request and a dry run leave nothing");
    assert_eq!(send(json!({"device_id": "d-1"})).await.status, 201);
    is_refused(&send(json!({"device_id": "d-2"})).await);
    is_refused(&send(json!({"device_id": "d-1", "name": "x"})).await);
    is_refused(&send(json!({"device_id": "d-2"})).await);
    is_refused(&send(json!({})).await);
    let none = api.call(Method::POST, "/devices", &[("Idempotency-Key", "other")], json!({})).await;
    assert_eq!(none.status, 201);
    is_refused(&api.call(Method::POST, "/devices", &[("Idempotency-Key", "other")], json!({"device_id": "d-3"})).await);
}

#[tokio::test]
async fn a_key_belongs_to_one_list_of_devices() {
    let api = Api::new();
    let send = async |body: Value| api.keyed(Method::POST, "/devices/bulk", body).await;
    assert_eq!(send(json!([{"device_id": "d-1"}, {}])).await.body["succeeded"], 2);
    assert_eq!(send(json!([{"device_id": "d-1"}, {}])).await.body["succeeded"], 2);
    is_refused(&send(json!([{"device_id": "d-2"}, {}])).await);
    is_refused(&send(json!([{"device_id": "d-1"}])).await);
}

/// Requests that each store something, with the route of each.
fn commands(firmware: &str, campaign: &str) -> Vec<(Method, String, String, Value)> {
    let route = |method: Method, route: &str, body: Value| {
        let path = route.replace("{device_id}", "d-1").replace("{update_id}", "d-1~1").replace("{group_id}", "hall-3");
        let path = path.replace("{n}", "1");
        let path =
            path.replace("{member}", "user:7").replace("{firmware_id}", firmware).replace("{campaign_id}", campaign);
        (method, route.to_owned(), path, body)
    };
    let spec = json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let other = json!({"name": "d", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    vec![
        route(Method::POST, "/devices", json!({"device_id": "d-2"})),
        route(Method::POST, "/devices/bulk", json!([{"device_id": "d-3"}])),
        route(Method::PATCH, "/devices/{device_id}", json!({"name": "a"})),
        route(Method::PUT, "/devices/{device_id}", json!({"name": "b"})),
        route(Method::POST, "/devices/{device_id}/hold", json!({})),
        route(Method::POST, "/devices/{device_id}/release", json!({})),
        route(Method::POST, "/devices/bulk/hold", json!({"device_ids": ["d-1"]})),
        route(Method::POST, "/devices/bulk/release", json!({"device_ids": ["d-1"]})),
        route(Method::POST, "/groups", json!({"group_id": "hall-3", "name": "Hall 3"})),
        route(Method::PATCH, "/groups/{group_id}", json!({"name": "a"})),
        route(Method::PUT, "/groups/{group_id}", json!({"name": "b"})),
        route(Method::POST, "/groups/{group_id}/members", json!({"device_ids": ["d-1"]})),
        route(Method::DELETE, "/groups/{group_id}/members", json!({"device_ids": ["d-1"]})),
        route(Method::POST, "/devices/{device_id}/commands", json!({"name": "report"})),
        route(Method::POST, "/devices/{device_id}/commands/{n}/cancel", json!({})),
        route(Method::POST, "/devices/{device_id}/update", json!({"firmware_id": firmware})),
        route(Method::POST, "/devices/bulk/update", json!({"device_ids": ["d-5"], "firmware_id": firmware})),
        route(Method::POST, "/updates/{update_id}/cancel", json!({})),
        route(Method::POST, "/updates/{update_id}/retry", json!({})),
        route(Method::POST, "/campaigns", spec),
        route(Method::PUT, "/campaigns/{campaign_id}", other),
        route(Method::POST, "/campaigns/{campaign_id}/clone", json!({})),
        route(Method::DELETE, "/campaigns/{campaign_id}", json!({})),
        route(Method::POST, "/firmware/{firmware_id}/deprecate", json!({})),
        route(Method::POST, "/firmware/{firmware_id}/withdraw", json!({})),
        route(Method::DELETE, "/firmware/{firmware_id}", json!({})),
        route(Method::DELETE, "/devices/{device_id}", json!({})),
        route(Method::PUT, "/members/{member}", json!({"grants": [{"role": "viewer"}]})),
        route(Method::DELETE, "/members/{member}", json!({})),
        route(Method::POST, "/freeze", json!({})),
        route(Method::POST, "/unfreeze", json!({})),
    ]
}

/// Routes that other tests cover: they need PostgreSQL, sealed secrets, a LoRaWAN device, another role, a campaign under way, a second update, a body that isn't JSON, or they show a token
/// once.
const TOLD_ELSEWHERE: [&str; 39] = [
    "POST /devices/import/chirpstack",
    "DELETE /groups/{group_id}",
    "POST /firmware",
    "POST /devices/import",
    "PUT /devices/{device_id}/ota/update",
    "PATCH /campaigns/{campaign_id}",
    "POST /campaigns/{campaign_id}/start",
    "POST /ota/campaigns/{campaign_id}/execute",
    "POST /campaigns/{campaign_id}/approve",
    "POST /campaigns/{campaign_id}/reject",
    "POST /campaigns/{campaign_id}/pause",
    "POST /campaigns/{campaign_id}/resume",
    "POST /campaigns/{campaign_id}/cancel",
    "POST /campaigns/{campaign_id}/retry",
    "POST /campaigns/{campaign_id}/rollback",
    "POST /devices/{device_id}/rollback",
    "POST /campaigns/{campaign_id}/waves/{wave}/open",
    "POST /devices/{device_id}/credentials",
    "DELETE /devices/{device_id}/credentials/{credential_id}",
    "POST /registration-tokens",
    "DELETE /registration-tokens/{token_id}",
    "POST /api-keys",
    "DELETE /api-keys/{key_id}",
    "POST /tenants",
    "PATCH /tenants/{tenant_id}",
    "POST /tenants/{tenant_id}/trusted-keys",
    "DELETE /tenants/{tenant_id}/trusted-keys/{fingerprint}",
    "POST /firmware/{firmware_id}/signatures",
    "POST /firmware/{firmware_id}/documents",
    "DELETE /firmware/{firmware_id}/documents/{document_id}",
    "DELETE /tenants/{tenant_id}",
    "POST /tenants/{tenant_id}/suspend",
    "POST /tenants/{tenant_id}/reinstate",
    "PUT /tenants/{tenant_id}/chirpstack",
    "DELETE /tenants/{tenant_id}/chirpstack",
    "POST /devices/sync",
    "POST /devices/{device_id}/sync",
    "PUT /devices/{device_id}/lorawan-keys",
    "DELETE /devices/{device_id}/lorawan-keys",
];

fn with_reason(mut body: Value, reason: &str) -> Value {
    match &mut body {
        Value::Array(items) => items[0]["reason"] = json!(reason),
        body => body["reason"] = json!(reason),
    }
    body
}

#[tokio::test]
async fn a_key_belongs_to_one_request_on_every_route_also_where_only_the_reason_differs() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    api.device("d-5").await;
    let draft = json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let campaign = api.post("/campaigns", draft).await.body["campaign_id"].as_str().unwrap().to_owned();
    let commands = commands(&firmware, &campaign);
    for (method, _, path, body) in &commands {
        let body = with_reason(body.clone(), "one");
        let first = api.keyed(method.clone(), path, body.clone()).await;
        assert!(first.status.is_success(), "{method} {path}: {}", first.body);
        let stored = api.stored().await;
        let again = api.keyed(method.clone(), path, body.clone()).await;
        let told = (again.status, &again.body["position"]);
        assert_eq!(told, (first.status, &first.body["position"]), "{method} {path}: {}", again.body);
        is_refused(&api.keyed(method.clone(), path, with_reason(body.clone(), "another")).await);
        is_refused(&api.keyed(method.clone(), &format!("{path}?dry_run=true"), with_reason(body, "another")).await);
        assert_eq!(api.stored().await, stored, "{method} {path}");
    }
    let description: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let keyed = operation["parameters"].to_string().contains("Idempotency-Key");
            let route = format!("{} {path}", method.to_ascii_uppercase());
            let walked = commands.iter().any(|(method, path, ..)| format!("{method} {path}") == route);
            assert!(!keyed || walked || TOLD_ELSEWHERE.contains(&route.as_str()), "{route} is in no test");
        }
    }
}

#[tokio::test]
async fn a_reason_belongs_to_the_request_wherever_it_stands() {
    let api = Api::new();
    api.device("d-1").await;
    let hold = "/devices/d-1/hold";
    let first = api.keyed(Method::POST, &format!("{hold}?reason=one"), json!({})).await;
    let again = api.keyed(Method::POST, hold, json!({"reason": "one"})).await;
    assert_eq!((again.status.as_u16(), &again.body["position"]), (200, &first.body["position"]), "{}", again.body);
    is_refused(&api.keyed(Method::POST, &format!("{hold}?reason=two"), json!({})).await);
    is_refused(&api.keyed(Method::POST, hold, json!({})).await);
}

/// Campaigns under way need a plan, and PostgreSQL is down, so the campaign is started directly.
#[tokio::test]
async fn commands_to_a_campaign_under_way() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let wanted = json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let id = api.post("/campaigns", wanted).await.body["campaign_id"].as_str().unwrap().to_owned();
    let (tenant, firmware_id) = (TenantId::new("acme").unwrap(), firmware.parse::<FirmwareId>().unwrap());
    let firmware = api.store.load(&Key::<Firmware>::new(&tenant, &firmware_id)).await.unwrap();
    let snapshot = Box::new(firmware.aggregate.snapshot_for_new_work(firmware_id, &FirmwarePolicy::default()).unwrap());
    let command = CampaignCommand::Start { plan: Uuid::from_u128(7), firmware: snapshot, expected: None };
    let request = Request::new(CommandId(Uuid::from_u128(8)), Actor::new("user:42").unwrap(), command);
    api.store.execute(&Key::<Campaign>::new(&tenant, &id.parse::<CampaignId>().unwrap()), request).await.unwrap();
    for (route, body) in [("pause", json!({})), ("resume", json!({})), ("cancel", json!({}))] {
        let path = format!("/campaigns/{id}/{route}");
        let first = api.keyed(Method::POST, &path, with_reason(body.clone(), "one")).await;
        assert_eq!(first.status, 200, "{route}: {}", first.body);
        let again = api.keyed(Method::POST, &path, with_reason(body.clone(), "one")).await;
        assert_eq!((again.status.as_u16(), &again.body["position"]), (200, &first.body["position"]), "{route}");
        is_refused(&api.keyed(Method::POST, &path, with_reason(body, "another")).await);
    }
}

/// Earlier versions stored the digest of the command.
#[tokio::test]
async fn requests_that_an_earlier_version_has_answered() {
    let api = Api::new();
    let tenant = TenantId::new("acme").unwrap();
    let command_id = CommandId::derive(&["http", "acme", "user:42", "POST /devices", "k"]);
    let command = DeviceCommand::Register {
        profile: Profile {
            device_model: Some("M".to_owned()),
            lorawan_dev_eui: Some("0102030405060708".to_owned()),
            transport: Transport::Lorawan,
            ..Profile::default()
        },
        versions: BTreeMap::new(),
    };
    let request = Request::new(command_id, Actor::new("user:42").unwrap(), command);
    let first = api.store.execute(&Key::<Device>::new(&tenant, &DeviceId::new("d-1").unwrap()), request).await.unwrap();
    let wanted = json!({"device_id": "d-1", "device_model": "M", "lorawan_dev_eui": "0102030405060708"});
    let again = api.keyed(Method::POST, "/devices", wanted).await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert!(again.body["position"].as_str().unwrap().ends_with(&format!("-{}", first.position)), "{}", again.body);
    is_refused(&api.keyed(Method::POST, "/devices", json!({"device_id": "d-1", "device_model": "N"})).await);
}

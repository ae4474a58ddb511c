//! Tenants: who gets in, what a freeze and a suspension stop, what quotas and rules refuse, and the end of a tenant.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use domain::{DeviceId, TenantId};
use event_store::telemetry::{TELEMETRY_FORMAT, Telemetry, TelemetryKind, TelemetryRecord};
use reqwest::Method;
use runtime::clock;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::login::log_in;
use crate::world::{MODEL, ManualDevice, TENANT, World};

/// A freeze takes back what devices have not answered within this time.
const FREEZE_MAX: Duration = Duration::from_secs(1);
/// Long enough for grants that must not come.
const MEANWHILE: Duration = Duration::from_secs(2);
/// Devices of a closed tenant are disconnected within this time.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// Registers a device and connects it, running 1.0.0.
async fn online(world: &World, api: &ApiClient, id: &str) -> ManualDevice {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
    let device = world.manual_device(id).await;
    device.boots("b1", "1.0.0").await;
    world.until_get(api, &format!("/devices/{id}"), "online", |body| body["status"] == "online").await;
    device
}

fn is(command: &'static str) -> impl Fn(&Value) -> bool {
    move |heard| heard["command"] == command
}

async fn answer(api: &ApiClient, method: Method, path: &str, body: Value) -> (u16, String) {
    let reply = api.send(method, path, Some(&body)).await.unwrap();
    let problem = reply.body["type"].as_str().unwrap_or_default().trim_start_matches("/problems/").to_owned();
    (reply.status.as_u16(), problem)
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().into_iter().flatten().filter_map(|item| item["device_id"].as_str()).collect()
}

async fn phase(api: &ApiClient, id: &str) -> Value {
    api.send(Method::GET, &format!("/devices/{id}/updates/1"), None).await.unwrap().body["phase"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_stops_everything_that_would_go_out() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let mut online_ones = Vec::new();
    for id in ["d-0", "d-1", "d-2"] {
        online_ones.push(online(&world, &api, id).await);
    }
    let more = json!({"deployment_strategy": "immediate", "max_concurrent_updates": 2});
    let campaign = world.campaign(&api, &firmware, more).await;
    // The campaign chooses which two come first.
    let planned = format!("/campaigns/{campaign}/devices?phase=planned");
    let planned = world.until_get(&api, &planned, "two are told", |body| ids(body).len() == 1).await;
    let next = online_ones.remove(online_ones.iter().position(|device| device.id() == ids(&planned)[0]).unwrap());
    let (silent, begun) = (online_ones.pop().unwrap(), online_ones.pop().unwrap());
    begun.hears("its update", is("ota_update")).await;
    silent.hears("its update", is("ota_update")).await;
    begun.reports(1, 1, "received").await;
    begun.reports(1, 1, "downloading").await;
    world.until_get(&api, &begun.path("/updates/1"), "downloading", |body| body["phase"] == "downloading").await;
    silent.forgets();

    let frozen = api.post("/freeze", &json!({"reason": "incident 7"})).await.unwrap();
    assert_eq!(frozen["frozen"], true, "{frozen}");
    let at = Instant::now();
    let (taken_back, was_retained) = silent.hears("that nothing is left to do", |body| *body == Value::Null).await;
    assert!(at.elapsed() < FREEZE_MAX, "{:?} {taken_back} {was_retained}", at.elapsed());
    silent.forgets();
    silent.says("commands/get", &json!({})).await;
    silent.hears("that there is nothing to do", is("none")).await;
    world
        .until_get(&api, &silent.path("/updates/1"), "its grant was taken back", |body| body["phase"] == "waiting")
        .await;
    let status = api.get(&format!("/campaigns/{campaign}/status")).await.unwrap();
    let waits = status["waits_for"].as_array().unwrap();
    assert!(status["status"] == "running" && waits.iter().any(|wait| wait["kind"] == "freeze"), "{status}");
    let refused = (409, "tenant_frozen".to_owned());
    let order = json!({"firmware_id": firmware});
    assert_eq!(answer(&api, Method::POST, &next.path("/update"), order).await, refused);
    assert_eq!(answer(&api, Method::POST, &next.path("/rollback"), json!({"reason": "x"})).await, refused);

    // What has begun runs to its end, and its slot is given to nobody.
    begun.says("commands/get", &json!({})).await;
    begun.hears("its own command again", is("ota_update")).await;
    for word in ["verifying", "installing", "rebooting"] {
        begun.reports(1, 1, word).await;
    }
    begun.boots("b2", "2.0.0").await;
    world.until_get(&api, &begun.path("/updates/1"), "confirmed", |body| body["phase"] == "confirmed").await;
    tokio::time::sleep(MEANWHILE).await;
    assert_eq!((phase(&api, silent.id()).await, phase(&api, next.id()).await.is_null()), (json!("waiting"), true));

    let operator = world.operator_of(TENANT, &["operator"]).await;
    assert_eq!(answer(&operator, Method::POST, "/unfreeze", json!({"reason": "x"})).await.0, 403);
    silent.forgets();
    next.forgets();
    let unfrozen = api.post("/unfreeze", &json!({"reason": "mended"})).await.unwrap();
    assert_eq!(unfrozen["frozen"], false, "{unfrozen}");
    silent.hears("its update", is("ota_update")).await;
    next.hears("its update", is("ota_update")).await;
    let history = api.get("/tenants/default/history").await.unwrap();
    let frozen = history["items"].as_array().unwrap().iter().find(|item| item["type"] == "tenant.frozen").unwrap();
    assert_eq!(frozen["reason"], "incident 7", "{frozen}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tenants_that_exist_and_are_active_get_in() {
    let world = World::start().await;
    let platform = world.operator_of("house", &["platform_admin"]).await;
    let made = json!({"tenant_id": "acme", "name": "Acme", "reason": "contract 42"});
    let tenant = platform.post("/tenants", &made).await.unwrap();
    assert_eq!((&tenant["status"], &tenant["frozen"]), (&json!("active"), &json!(false)), "{tenant}");
    assert_eq!(answer(&platform, Method::POST, "/tenants", made).await, (409, "tenant_exists".to_owned()));
    let acme = world.operator_of("acme", &["admin"]).await;
    acme.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    assert_eq!(answer(&acme, Method::GET, "/tenants", Value::Null).await.0, 403);
    assert_eq!(acme.get("/tenants/acme").await.unwrap()["name"], "Acme");
    assert_eq!(answer(&acme, Method::GET, "/tenants/house", Value::Null).await.0, 404);
    assert_eq!(answer(&platform, Method::GET, "/devices", Value::Null).await.0, 403);

    platform.post("/tenants/acme/suspend", &json!({"reason": "unpaid"})).await.unwrap();
    assert_eq!(answer(&acme, Method::GET, "/devices", Value::Null).await, (403, "tenant_suspended".to_owned()));
    platform.post("/tenants/acme/reinstate", &json!({})).await.unwrap();
    assert_eq!(acme.get("/devices?count=true").await.unwrap()["total"], 1);

    let listed = platform.get("/tenants").await.unwrap();
    let ids: Vec<&str> =
        listed["items"].as_array().unwrap().iter().filter_map(|item| item["tenant_id"].as_str()).collect();
    assert_eq!(ids, ["acme", "house"]);

    let firmware = world.firmware(&acme, "2.0.0").await;
    let link =
        acme.get(&format!("/firmware/{firmware}/download")).await.unwrap()["download_url"].as_str().unwrap().to_owned();
    assert_eq!(reqwest::get(&link).await.unwrap().status(), 200);
    let closed = json!({"reason": "contract ended"});
    platform.send(Method::DELETE, "/tenants/acme", Some(&closed)).await.unwrap().success().unwrap();
    assert_eq!(answer(&acme, Method::GET, "/devices", Value::Null).await, (403, "tenant_closed".to_owned()));
    assert_eq!(reqwest::get(&link).await.unwrap().status(), 410);
    let again = json!({"tenant_id": "acme"});
    assert_eq!(answer(&platform, Method::POST, "/tenants", again).await, (409, "tenant_closed".to_owned()));
    let history = platform.get("/tenants/acme/history").await.unwrap();
    let types: Vec<&str> =
        history["items"].as_array().unwrap().iter().filter_map(|item| item["type"].as_str()).collect();
    assert_eq!(types, ["tenant.created", "tenant.suspended", "tenant.reinstated", "tenant.closed"]);
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_rules_of_a_tenant_hold() {
    let world = World::start().await;
    let platform = world.operator_of("house", &["platform_admin"]).await;
    let quotas = json!({"devices": 2, "campaigns": 1, "firmware_bytes": 2_000_000});
    platform.post("/tenants", &json!({"tenant_id": "acme", "quotas": quotas})).await.unwrap();
    let acme = world.operator_of("acme", &["admin"]).await;
    let exceeded = (409, "quota_exceeded".to_owned());
    let device = |id: &str| json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"});
    for id in ["d-1", "d-2"] {
        acme.post("/devices", &device(id)).await.unwrap();
    }
    assert_eq!(answer(&acme, Method::POST, "/devices", device("d-3")).await, exceeded);
    assert_eq!(answer(&acme, Method::POST, "/devices", device("d-2")).await.0, 200);
    let bulk = acme.post("/devices/bulk", &json!([device("d-3")])).await.unwrap();
    assert_eq!(bulk["failed"], 1, "{bulk}");
    let firmware = world.firmware(&acme, "2.0.0").await;
    let first = world.campaign(&acme, &firmware, json!({"deployment_strategy": "immediate"})).await;
    let draft =
        json!({"name": "second", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let second = acme.post("/campaigns", &draft).await.unwrap()["campaign_id"].as_str().unwrap().to_owned();
    assert_eq!(answer(&acme, Method::POST, &format!("/campaigns/{second}/start"), json!({})).await, exceeded);
    acme.post(&format!("/campaigns/{first}/cancel"), &json!({"reason": "enough"})).await.unwrap();
    world.campaign_is(&acme, &first, &["cancelled"]).await;

    assert_eq!(answer(&acme, Method::PATCH, "/tenants/acme", json!({"quotas": {"devices": null}})).await.0, 403);
    let rules = json!({"rules": {"require_reason": true, "require_approval": true, "require_digest_report": true}});
    acme.send(Method::PATCH, "/tenants/acme", Some(&rules)).await.unwrap().success().unwrap();
    let hold = |reason: Value| answer(&acme, Method::POST, "/devices/d-1/hold", reason);
    assert_eq!((hold(json!({})).await, hold(json!({"reason": "shelf"})).await.0), ((422, "invalid".to_owned()), 200));
    let start = format!("/campaigns/{second}/start");
    assert_eq!(
        answer(&acme, Method::POST, &start, json!({"reason": "go"})).await,
        (409, "approval_required".to_owned())
    );
    let third = acme.post("/campaigns", &draft).await.unwrap();
    assert_eq!((&third["requires_approval"], &third["require_digest_report"]), (&json!(true), &json!(true)), "{third}");
    retention_holds(&world, &acme).await;
    world.read_models_equal_a_replay().await;
}

/// Something that a device of `acme` sent two days ago.
async fn sent_two_days_ago(world: &World, kind: TelemetryKind, data: Value) {
    let telemetry =
        Telemetry::new(waybill::nats::connect(&world.stack.nats.waybill_url(), "waybill-test").await.unwrap());
    let received_at = clock::now() - TimeDelta::days(2);
    let data = serde_json::value::to_raw_value(&data).unwrap();
    let record = TelemetryRecord { v: TELEMETRY_FORMAT, kind, received_at, device_time: None, place: None, data };
    telemetry.publish(&TenantId::new("acme").unwrap(), &DeviceId::new("d-1").unwrap(), &record).await.unwrap();
}

/// A shorter retention hides older data at once. A longer one shows it again, as long as it hasn't been removed.
async fn retention_holds(world: &World, acme: &ApiClient) {
    let set = |retention: Value| answer(acme, Method::PATCH, "/tenants/acme", json!({"retention": retention}));
    let operator = world.operator_of("acme", &["operator"]).await;
    let by_operator = json!({"retention": {"telemetry_days": 1}});
    assert_eq!(answer(&operator, Method::PATCH, "/tenants/acme", by_operator).await.0, 403);
    for wrong in [json!({"telemetry_days": 0}), json!({"update_log_days": 366}), json!({"events_days": 7})] {
        assert_eq!(set(wrong).await, (422, "invalid".to_owned()));
    }
    acme.post("/devices/d-1/release", &json!({"reason": "back"})).await.unwrap();
    let firmware = world.firmware(acme, "3.0.0").await;
    acme.post("/devices/d-1/update", &json!({"firmware_id": firmware})).await.unwrap();
    sent_two_days_ago(world, TelemetryKind::Measurements, json!({"temperature": 21})).await;
    let notice = json!({"level": "error", "code": "UPLINK_CODEC"});
    sent_two_days_ago(world, TelemetryKind::Notice, notice).await;
    sent_two_days_ago(world, TelemetryKind::Log, json!({"ordinal": 1, "text": "flashing"})).await;
    let shown = async || {
        let telemetry = acme.get("/devices/d-1/telemetry").await.unwrap();
        let notices = acme.get("/devices/d-1/network-notices").await.unwrap();
        let log = acme.get("/devices/d-1/updates/1/log").await.unwrap();
        let number = |page: &Value| page["items"].as_array().unwrap().len();
        (telemetry["latest"].as_object().unwrap().len(), number(&telemetry), number(&notices), number(&log))
    };
    world.until_get(acme, "/devices/d-1/updates/1/log", "logged", |page| page["items"][0].is_object()).await;
    world.until_get(acme, "/devices/d-1/telemetry", "measured", |page| page["latest"]["temperature"].is_object()).await;
    assert_eq!(shown().await, (1, 1, 1, 1));
    assert_eq!(set(json!({"telemetry_days": 1, "update_log_days": 1})).await.0, 200);
    assert_eq!(shown().await, (0, 0, 0, 0));
    let retention = &acme.get("/tenants/acme").await.unwrap()["retention"];
    let expected =
        json!({"telemetry_days": 1, "update_log_days": 1, "device_download_days": null, "dead_letter_days": null});
    assert_eq!(*retention, expected);
    let history = acme.get("/tenants/acme/history").await.unwrap()["items"].as_array().unwrap().clone();
    let amended = history.iter().rfind(|item| item["type"] == "tenant.amended").unwrap();
    assert!(amended.to_string().contains("update_log_days"), "{amended}");
    assert_eq!(set(json!({"telemetry_days": null, "update_log_days": 3})).await.0, 200);
    assert_eq!(shown().await, (1, 1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_closed_tenant_are_disconnected() {
    let world = World::start_closed().await;
    let platform = world.operator_of("house", &["platform_admin"]).await;
    platform.post("/tenants", &json!({"tenant_id": "acme"})).await.unwrap();
    let acme = world.operator_of("acme", &["admin"]).await;
    acme.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let credential = acme.post("/devices/d-1/credentials", &json!({})).await.unwrap();
    let token = credential["token"].as_str().unwrap();
    let listener = world.stack.nats.mqtt_listen();
    let mut connected = log_in(listener, "acme/d-1", "acme/d-1", token).await.unwrap();
    platform.send(Method::DELETE, "/tenants/acme", Some(&json!({"reason": "over"}))).await.unwrap().success().unwrap();
    assert!(connected.is_ended_within(ENDED_WITHIN).await);
    assert!(log_in(listener, "acme/d-1", "acme/d-1", token).await.is_err());
}

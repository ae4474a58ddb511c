//! How campaigns begin: approval by a second person, and starts at a given time.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use runtime::clock;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{TENANT, World, device, devices};

async fn created(api: &ApiClient, firmware: &str, more: Value) -> String {
    let mut wanted =
        json!({"name": "n", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    for (field, value) in more.as_object().unwrap() {
        wanted[field] = value.clone();
    }
    let campaign = api.post("/campaigns", &wanted).await.unwrap();
    format!("/campaigns/{}", campaign["campaign_id"].as_str().unwrap())
}

async fn events(api: &ApiClient, path: &str) -> Vec<Value> {
    let history = api.get(&format!("{path}/history?limit=200")).await.unwrap();
    history["items"].as_array().unwrap().clone()
}

fn event<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{kind} is missing: {events:?}"))
}

fn first_wait(campaign: &Value) -> &str {
    campaign["waits_for"][0]["kind"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_campaign_starts_late_after_a_crash() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(3)).await;
    let start = clock::now() + TimeDelta::seconds(2);
    let more = json!({"deployment_strategy": "scheduled", "scheduled_start": start, "jitter_seconds": 1});
    let path = created(&api, &firmware, more).await;
    let scheduled = api.post(&format!("{path}/start"), &json!({})).await.unwrap();
    assert_eq!(scheduled["status"], "scheduled", "{scheduled}");
    let shown = api.get(&path).await.unwrap();
    assert_eq!((&shown["status"], first_wait(&shown)), (&json!("scheduled"), "scheduled_start"), "{shown}");
    let delete = api.send(Method::DELETE, &format!("/firmware/{firmware}"), None).await.unwrap();
    assert_eq!(delete.status, 409, "the firmware is pinned: {}", delete.body);

    world.kill_waybill();
    world.until("the start has passed", async || clock::now() > start).await;
    world.start_waybill().await;
    let api = world.operator().await;
    let id = path.trim_start_matches("/campaigns/");
    let ended = world.campaign_is(&api, id, &["completed"]).await;
    assert_eq!(ended["confirmed"], 3, "{ended}");
    let events = events(&api, &path).await;
    let (scheduled, started) = (event(&events, "campaign.scheduled"), event(&events, "campaign.planning_started"));
    assert_eq!(started["actor"], "process-manager:schedule", "{started}");
    assert_eq!(started["correlation_id"], scheduled["correlation_id"], "the start belongs to the operator's command");
    let at = api.get(&path).await.unwrap()["started_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(at > start, "started at {at}, scheduled for {start}");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_begins_only_after_a_second_person_approved_it() {
    let world = World::start().await;
    let api = world.operator().await;
    let sign_in = async |user: &str, kind: &str| {
        ApiClient::sign_in_as(&world.base(), TENANT, user, kind, &["approver"]).await.unwrap()
    };
    let (second, key) = (sign_in("second", "person").await, sign_in("second", "key").await);
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, vec![device("d-0")]).await;
    let path = created(&api, &firmware, json!({"requires_approval": true})).await;
    let submitted = api.post(&format!("{path}/start"), &json!({})).await.unwrap();
    assert_eq!(submitted["status"], "awaiting_approval", "{submitted}");
    let waiting = api.get("/campaigns?status=awaiting_approval").await.unwrap();
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1, "{waiting}");
    let shown = api.get(&path).await.unwrap();
    assert_eq!(first_wait(&shown), "approval", "{shown}");
    let allowed = json!(["amend", "delete", "approve", "reject", "cancel"]);
    assert_eq!(shown["allowed_commands"], allowed, "{shown}");
    let approve = format!("{path}/approve");
    for (caller, status) in [(&api, 409), (&key, 403)] {
        let refused = caller.send(Method::POST, &approve, Some(&json!({"remark": "fine"}))).await.unwrap();
        assert_eq!(refused.status.as_u16(), status, "{}", refused.body);
    }
    second.post(&approve, &json!({"remark": "checked with support"})).await.unwrap();
    let shown = second.get(&path).await.unwrap();
    let approval = &shown["approval"];
    let told = (&approval["decision"], &approval["by"], &approval["remark"]);
    assert_eq!(told, (&json!("approved"), &json!("user:second"), &json!("checked with support")), "{shown}");
    api.post(&format!("{path}/start"), &json!({})).await.unwrap();
    world.campaign_is(&api, path.trim_start_matches("/campaigns/"), &["completed"]).await;

    // A scheduled campaign whose firmware is withdrawn doesn't start.
    let next = world.firmware(&api, "3.0.0").await;
    let both = json!({"requires_approval": true, "scheduled_start": clock::now() + TimeDelta::hours(1)});
    let path = created(&api, &next, both).await;
    api.post(&format!("{path}/start"), &json!({})).await.unwrap();
    let approved = second.post(&format!("{path}/approve"), &json!({})).await.unwrap();
    assert_eq!(approved["status"], "scheduled", "{approved}");
    api.post(&format!("/firmware/{next}/withdraw"), &json!({"reason": "a bug"})).await.unwrap();
    let paused = world.until_get(&api, &path, "it is paused", |body| body["status"] == "paused").await;
    assert_eq!(first_wait(&paused), "firmware", "{paused}");
    let resume = api.send(Method::POST, &format!("{path}/resume"), Some(&json!({}))).await.unwrap();
    assert_eq!(resume.status, 409, "{}", resume.body);
    let cancelled = api.post(&format!("{path}/cancel"), &json!({"reason": "withdrawn"})).await.unwrap();
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

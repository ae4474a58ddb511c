use axum::http::Method;
use domain::campaign::{Campaign, CampaignCommand};
use domain::firmware::{Firmware, FirmwarePolicy};
use domain::{Actor, CampaignId, CommandId, FirmwareId, Key, TenantId};
use event_store::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Api;

fn wanted(firmware: &str) -> Value {
    json!({
        "name": "Q4 2024 Update", "firmware_id": firmware, "deployment_strategy": "staged",
        "target_filters": {"device_type": "smart_frame", "firmware_version": "<2.0.0"}, "rollout_percentage": 100,
        "max_concurrent_updates": 50, "batch_size": 10, "auto_rollback": true, "failure_threshold_percent": 20,
    })
}

#[tokio::test]
async fn a_draft_is_created_changed_cloned_and_deleted() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let created = api.post("/campaigns", wanted(&firmware)).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let id = created.body["campaign_id"].as_str().unwrap().to_owned();
    assert_eq!(created.header("location"), format!("/api/v1/campaigns/{id}"));
    assert_eq!((&created.body["status"], &created.body["deployment_strategy"]), (&json!("draft"), &json!("staged")));
    assert_eq!(created.body["waves"][0]["percentage"], 10);
    assert_eq!(created.body["warnings"], Value::Null, "auto_rollback is kept");

    let mut changed = wanted(&firmware);
    changed["batch_size"] = json!(20);
    changed["auto_rollback"] = json!(false);
    let path = format!("/campaigns/{id}");
    let amended = api.call(Method::PUT, &path, &[], changed).await;
    assert_eq!((amended.status.as_u16(), &amended.body["batch_size"]), (200, &json!(20)));
    assert_eq!(amended.body["warnings"], Value::Null);
    let cloned = api.post(&format!("{path}/clone"), json!({"name": "again"})).await;
    assert_eq!((cloned.status.as_u16(), &cloned.body["name"]), (201, &json!("again")));
    assert_ne!(cloned.body["campaign_id"], created.body["campaign_id"]);
    assert_eq!(api.call(Method::DELETE, &path, &[], Value::Null).await.status, 200);
    for command in ["start", "clone"] {
        assert_eq!(api.post(&format!("{path}/{command}"), json!({})).await.status, 404, "{command}");
    }
}

#[tokio::test]
async fn a_campaign_needs_a_firmware_that_may_be_used() {
    let api = Api::new();
    let unknown = api.post("/campaigns", wanted("8f9f7c9e-0000-0000-0000-000000000000")).await;
    assert_eq!((unknown.status.as_u16(), &unknown.body["errors"][0]["field"]), (422, &json!("firmware_id")));
    let firmware = api.firmware("2.0.0").await;
    api.post(&format!("/firmware/{firmware}/withdraw"), Value::Null).await;
    let withdrawn = api.post("/campaigns", wanted(&firmware)).await;
    assert_eq!((withdrawn.status.as_u16(), withdrawn.problem()), (409, "firmware_withdrawn"));
}

#[tokio::test]
async fn devices_that_are_named_must_be_known() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    api.device("gone").await;
    api.call(Method::DELETE, "/devices/gone", &[], Value::Null).await;
    let mut named = wanted(&firmware);
    named["target_devices"] = json!(["d-1", "gone"]);
    let created = api.post("/campaigns", named.clone()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.body["created_by"], "user:42");
    assert!(created.body["created_at"].is_string(), "{}", created.body);
    let path = format!("/campaigns/{}", created.body["campaign_id"].as_str().unwrap());
    let strangers: Vec<String> = (0..30).map(|number| format!("x-{number}")).collect();
    let ids: Vec<String> = ["d-1".to_owned()].into_iter().chain(strangers).collect();
    named["target_devices"] = json!(ids);
    for answer in [api.post("/campaigns", named.clone()).await, api.call(Method::PUT, &path, &[], named).await] {
        assert_eq!(answer.status, 422, "{}", answer.body);
        let errors = answer.body["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[0]["field"]), (20, &json!("target_devices[1]")));
    }
}

#[tokio::test]
async fn starting_needs_postgresql_and_says_so() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let created = api.post("/campaigns", wanted(&firmware)).await;
    let id = created.body["campaign_id"].as_str().unwrap();
    let before = api.stored().await;
    for path in [format!("/campaigns/{id}/start"), format!("/ota/campaigns/{id}/execute")] {
        let answer = api.post(&path, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (503, "postgresql_unavailable"));
    }
    assert_eq!(api.stored().await, before, "nothing was pinned or planned");
    let unknown = api.post("/campaigns/8f9f7c9e-0000-0000-0000-000000000000/start", json!({})).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem()), (404, "campaign_unknown"));
}

/// PostgreSQL is down, so the campaign is started directly.
#[tokio::test]
async fn a_campaign_does_not_go_on_with_a_withdrawn_firmware() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let id = api.post("/campaigns", wanted(&firmware)).await.body["campaign_id"].as_str().unwrap().to_owned();
    let tenant = TenantId::new("acme").unwrap();
    let firmware_id: FirmwareId = firmware.parse().unwrap();
    let loaded = api.store.load(&Key::<Firmware>::new(&tenant, &firmware_id)).await.unwrap();
    let snapshot = Box::new(loaded.aggregate.snapshot_for_new_work(firmware_id, &FirmwarePolicy::default()).unwrap());
    let command = CampaignCommand::Start { plan: Uuid::from_u128(7), firmware: snapshot, expected: None };
    let key = Key::<Campaign>::new(&tenant, &id.parse::<CampaignId>().unwrap());
    let start = Request::new(CommandId(Uuid::from_u128(8)), Actor::new("user:42").unwrap(), command);
    api.store.execute(&key, start).await.unwrap();
    let path = format!("/campaigns/{id}");
    let send = async |command: &str| {
        api.call(Method::POST, &format!("{path}/{command}"), &[("Idempotency-Key", command)], json!({})).await
    };
    assert_eq!(send("pause").await.status, 200);
    assert_eq!(send("resume").await.status, 200);
    assert_eq!(api.post(&format!("{path}/pause"), json!({})).await.status, 200);
    api.post(&format!("/firmware/{firmware}/withdraw"), Value::Null).await;
    let refused = api.post(&format!("{path}/resume"), json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "firmware_withdrawn"), "{}", refused.body);
    let repeated = send("resume").await;
    assert_eq!((repeated.status.as_u16(), &repeated.body["status"]), (200, &json!("paused")), "{}", repeated.body);
}

#[tokio::test]
async fn what_a_draft_cannot_do_is_said() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let created = api.post("/campaigns", wanted(&firmware)).await;
    let path = format!("/campaigns/{}", created.body["campaign_id"].as_str().unwrap());
    for command in ["pause", "resume", "waves/2/open", "retry"] {
        let answer = api.post(&format!("{path}/{command}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (409, "illegal_in_state"), "{command}");
        assert_eq!(answer.body["facts"]["status"], "draft");
    }
    let silent = api.post(&format!("{path}/resume"), json!({"accept_failures": true})).await;
    assert_eq!((silent.status.as_u16(), &silent.body["errors"][0]["field"]), (422, &json!("reason")));
    let silent = api.post(&format!("{path}/rollback"), json!({})).await;
    assert_eq!((silent.status.as_u16(), &silent.body["errors"][0]["field"]), (422, &json!("reason")));
    let illegal = api.post(&format!("{path}/rollback"), json!({"reason": "r"})).await;
    assert_eq!((illegal.status.as_u16(), illegal.problem()), (409, "illegal_in_state"));
    for command in ["approve", "reject"] {
        let answer = api.post(&format!("{path}/{command}"), json!({"remark": "no"})).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (409, "illegal_in_state"), "{command}");
    }
    let cancelled = api.post(&format!("{path}/cancel"), json!({"reason": "never mind"})).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.body["status"]), (200, &json!("cancelled")));
    let history = api.get(&format!("{path}/history")).await;
    assert_eq!(history.body["items"][1]["reason"], "never mind", "{}", history.body);
}

#[tokio::test]
async fn maintenance_windows_are_kept_as_given_and_refused_by_field() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let send = async |windows: Value| {
        let mut campaign = wanted(&firmware);
        campaign["maintenance_window"] = windows;
        api.post("/campaigns", campaign).await
    };
    let night = json!([{"days": ["friday"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"},
        {"days": ["sunday"], "start": "00:00", "duration_minutes": 1440, "timezone": "device", "default_timezone": "UTC"}]);
    let created = send(night.clone()).await;
    assert_eq!((created.status.as_u16(), &created.body["maintenance_window"]), (201, &night), "{}", created.body);
    for (field, window) in [
        ("maintenance_window[0].days", json!({"days": [], "start": "22:00", "end": "04:00"})),
        ("maintenance_window[0].days[0]", json!({"days": ["fri"], "start": "22:00", "end": "04:00"})),
        ("maintenance_window[0].start", json!({"days": ["friday"], "start": "10pm", "end": "04:00"})),
        ("maintenance_window[0].end", json!({"days": ["friday"], "start": "22:00"})),
        (
            "maintenance_window[0].timezone",
            json!({"days": ["friday"], "start": "22:00", "end": "04:00", "timezone": "CEST?"}),
        ),
    ] {
        let refused = send(json!([window])).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["errors"][0]["field"]),
            (422, &json!(field)),
            "{}",
            refused.body
        );
    }
}

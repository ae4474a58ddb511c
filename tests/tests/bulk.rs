//! Many devices by one request: imported from CSV, updated by filters or by name; and updates that require the device's digest.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, World, device};

/// Sends a request with a key and a body of any type.
async fn keyed(api: &ApiClient, path: &str, media_type: &str, body: String) -> (u16, Value) {
    let request = api.http().post(format!("{}/api/v1{path}", api.base())).bearer_auth(api.token());
    let request = request.header("Content-Type", media_type).header("Idempotency-Key", format!("key of {path}"));
    let reply = request.body(body).send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_imported_from_csv_and_updated_by_a_filter() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let csv = format!(
        "device_id,device_model,device_type,firmware_version,tag:site\r\n{}bulk,,,,\r\n",
        (1..=6)
            .map(|n| format!("d-{n},{MODEL},frame,1.0.0,{}\r\n", if n < 5 { "north" } else { "south" }))
            .collect::<String>()
    );
    let (status, imported) = keyed(&api, "/devices/import", "text/csv", csv.clone()).await;
    assert_eq!((status, &imported["succeeded"], &imported["failed"]), (200, &json!(6), &json!(1)), "{imported}");
    assert_eq!((&imported["items"][6]["row"], &imported["items"][6]["status"]), (&json!(8), &json!(422)));
    assert_eq!(keyed(&api, "/devices/import", "text/csv", csv).await.1, imported);
    let listed = api.get("/devices?tag=site:north&count=true").await.unwrap();
    assert_eq!(listed["total"], 4, "{listed}");
    let _fleet = world.fleet((1..=6).map(|n| device(&format!("d-{n}"))).collect());
    world.online(&api, 6).await;

    let wanted = json!({
        "target_filters": {"tags": {"site": "north"}}, "firmware_id": firmware, "require_digest_report": true,
        "reason": "security fix",
    });
    let dry = api.send(Method::POST, "/devices/bulk/update?dry_run=true", Some(&wanted)).await.unwrap();
    assert_eq!(
        (dry.status.as_u16(), &dry.body["status"], &dry.body["dry_run"]),
        (200, &json!("draft"), &json!(true)),
        "{}",
        dry.body
    );
    let (status, started) = keyed(&api, "/devices/bulk/update", "application/json", wanted.to_string()).await;
    assert_eq!((status, &started["workflows_submitted"]), (201, &json!(4)), "{started}");
    let campaign = started["campaign_id"].as_str().unwrap();
    let again = keyed(&api, "/devices/bulk/update", "application/json", wanted.to_string()).await;
    assert_eq!((again.0, &again.1["campaign_id"]), (201, &started["campaign_id"]), "{}", again.1);
    world.campaign_is(&api, campaign, &["completed"]).await;
    let shown = api.get(&format!("/campaigns/{campaign}")).await.unwrap();
    assert_eq!((&shown["name"], &shown["deployment_strategy"]), (&json!("Bulk update to 2.0.0"), &json!("immediate")));
    assert_eq!(api.get("/campaigns?count=true").await.unwrap()["total"], 1, "the dry run and the repetition make none");
    let history = api.get("/devices/d-1/history?limit=100").await.unwrap();
    let types: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"update.digest_reported") && !types.contains(&"update.digest_missing"), "{types:?}");

    // The sixth is the member of a group.
    api.post("/groups", &json!({"group_id": "hall-3", "name": "Hall 3"})).await.unwrap();
    api.post("/groups/hall-3/members", &json!({"device_ids": ["d-6"], "reason": "moved"})).await.unwrap();
    let of_group = json!({"group": "hall-3", "firmware_id": firmware, "name": "Hall 3"});
    let of_group = api.post("/devices/bulk/update", &of_group).await.unwrap();
    assert_eq!(of_group["workflows_submitted"], 1, "{of_group}");
    world.campaign_is(&api, of_group["campaign_id"].as_str().unwrap(), &["completed"]).await;
    world.until_get(&api, "/devices/d-6", "d-6 runs it", |body| body["firmware_version"] == "2.0.0").await;

    // The fifth is named, and one of those that run it already.
    let named = json!({"device_ids": ["d-5", "d-1"], "firmware_id": firmware});
    let named = api.post("/devices/bulk/update", &named).await.unwrap();
    let outcome = |n: usize| (&named["items"][n]["status"], &named["items"][n]["update_id"]);
    assert_eq!([outcome(0), outcome(1)], [(&json!(201), &json!("d-5~1")), (&json!(409), &Value::Null)], "{named}");
    world.until_get(&api, "/updates/d-5~1", "d-5 runs it", |body| body["phase"] == "confirmed").await;

    // A refused request leaves its key.
    let withdrawn = world.firmware(&api, "3.0.0").await;
    api.post(&format!("/firmware/{withdrawn}/withdraw"), &json!({"reason": "it bricks"})).await.unwrap();
    let send = async |firmware: &str| {
        let body = json!({"group": "hall-3", "firmware_id": firmware}).to_string();
        keyed(&api, "/devices/bulk/update?dry_run=false", "application/json", body).await
    };
    let (status, refused) = send(&withdrawn).await;
    assert_eq!((status, &refused["type"]), (409, &json!("/problems/firmware_withdrawn")), "{refused}");
    let (status, started) = send(&firmware).await;
    assert_eq!((status, &started["excluded"]), (201, &json!({"already_on_version": 1})), "{started}");
    world.campaign_is(&api, started["campaign_id"].as_str().unwrap(), &["completed"]).await;
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_requires_the_digest_is_confirmed_only_with_it() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    world.register(&api, &[device("d-1")]).await;
    let manual = world.manual_device("d-1").await;
    manual.boots("b1", "1.0.0").await;
    let order = json!({"firmware_id": firmware, "require_digest_report": true});
    assert_eq!(api.post("/devices/d-1/update", &order).await.unwrap()["require_digest_report"], true);
    let (command, _) = manual.hears("its command", |command| command["command"] == "ota_update").await;
    assert_eq!(command["report_digest"], true, "{command}");
    manual.installs(1, 1, "b2", "2.0.0").await;
    let held = |body: &Value| body["phase"] == "verifying" && body["reason"] == "digest_missing";
    let shown = world.until_get(&api, "/updates/d-1~1", "the digest is missing", held).await;
    assert_eq!(shown["require_digest_report"], true, "{shown}");
    world
        .until_get(&api, "/devices/d-1", "it runs the version all the same", |body| body["firmware_version"] == "2.0.0")
        .await;
    let still = world.until_get(&api, "/updates/d-1~1", "the digest is missing", held).await;
    assert_eq!(still["phase"], "verifying", "the version alone is no proof");
    let report = json!({"attempt": 1, "status": "completed", "sha256": command["sha256"]});
    manual.says("updates/1/status", &report).await;
    let done = |body: &Value| body["phase"] == "confirmed" && body["reason"].is_null();
    world.until_get(&api, "/updates/d-1~1", "it is confirmed with the digest", done).await;
    world.read_models_equal_a_replay().await;
}

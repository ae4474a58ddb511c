//! Groups of devices: filter, membership of a device, targets of a campaign.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::Behaviour;

use crate::world::{World, device, devices};

async fn device_ids(api: &ApiClient, path: &str) -> Vec<String> {
    let body = api.get(path).await.unwrap();
    body["items"].as_array().unwrap().iter().map(|item| item["device_id"].as_str().unwrap().to_owned()).collect()
}

async fn refused(api: &ApiClient, method: Method, path: &str, body: Value) -> (u16, String) {
    let reply = api.send(method, path, Some(&body)).await.unwrap();
    (reply.status.as_u16(), reply.body["type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_updates_the_members_of_its_groups_and_nobody_else() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let mut all = devices(5);
    // Keeps the campaign running.
    all.push(device("away"));
    all[5].behaviour = Behaviour { offline: true, ..Behaviour::default() };
    let fleet = world.online_fleet(&api, all).await;
    api.send(Method::PATCH, "/devices/d-3", Some(&json!({"tags": {"ring": "beta"}}))).await.unwrap().success().unwrap();
    api.post("/groups", &json!({"group_id": "hall", "name": "Hall"})).await.unwrap();
    api.post("/groups", &json!({"group_id": "beta", "name": "Beta", "filter": {"tags": {"ring": "beta"}}}))
        .await
        .unwrap();
    let added =
        api.post("/groups/hall/members", &json!({"device_ids": ["d-0", "d-1", "away", "nobody"]})).await.unwrap();
    assert_eq!(
        (&added["changed"], &added["failed"], &added["member_count"]),
        (&json!(3), &json!(1), &json!(3)),
        "{added}"
    );

    // Each read includes what was stored before.
    assert_eq!(device_ids(&api, "/groups/hall/members").await, ["away", "d-0", "d-1"]);
    assert_eq!(device_ids(&api, "/groups/beta/members").await, ["d-3"]);
    assert_eq!(device_ids(&api, "/devices?group=hall&status=online").await, ["d-0", "d-1"]);
    assert_eq!(device_ids(&api, "/devices?group=beta").await, ["d-3"]);
    assert_eq!(api.get("/devices/d-0").await.unwrap()["groups"], json!(["hall"]));
    assert_eq!(api.get("/devices?id=d-3").await.unwrap()["items"][0]["groups"], json!([]));
    assert_eq!(api.get("/groups/hall").await.unwrap()["member_count"], 3);
    assert_eq!(api.get("/groups?count=true").await.unwrap()["total"], 2);
    assert_eq!(refused(&api, Method::GET, "/devices?group=none", Value::Null).await.0, 400);

    let targets = json!({"target_all": false, "target_groups": ["hall", "beta"], "deployment_strategy": "immediate"});
    let id = world.campaign(&api, &firmware, targets).await;
    let path = format!("/campaigns/{id}/status");
    let done = |body: &Value| body["confirmed"] == 3;
    let status = world.until_get(&api, &path, "all members that are online are updated", done).await;
    assert_eq!(status["status"], "running", "{status}");
    let mut members = device_ids(&api, &format!("/campaigns/{id}/devices")).await;
    members.sort();
    assert_eq!(members, ["away", "d-0", "d-1", "d-3"]);

    // The plan names devices: a change of the group changes no campaign.
    let remove = json!({"device_ids": ["away"], "reason": "sold"});
    api.send(Method::DELETE, "/groups/hall/members", Some(&remove)).await.unwrap().success().unwrap();
    assert_eq!(device_ids(&api, &format!("/campaigns/{id}/devices")).await.len(), 4);
    let in_use = refused(&api, Method::DELETE, "/groups/hall", json!({})).await;
    assert_eq!(in_use, (409, "/problems/group_in_use".to_owned()));
    api.post(&format!("/campaigns/{id}/cancel"), &json!({"reason": "enough"})).await.unwrap();
    world.campaign_is(&api, &id, &["cancelled"]).await;

    let draft = json!({"name": "later", "firmware_id": firmware, "deployment_strategy": "immediate", "target_groups": ["hall"]});
    let draft = api.post("/campaigns", &draft).await.unwrap();
    let draft = format!("/campaigns/{}", draft["campaign_id"].as_str().unwrap());
    api.send(Method::DELETE, "/groups/hall", Some(&json!({}))).await.unwrap().success().unwrap();
    assert_eq!(refused(&api, Method::GET, "/groups/hall", Value::Null).await.0, 404);
    assert_eq!(api.get("/devices/d-0").await.unwrap()["groups"], json!([]));
    let gone = (409, "/problems/target_group_gone".to_owned());
    assert_eq!(refused(&api, Method::POST, &format!("{draft}/start"), json!({})).await, gone);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_of_a_group_and_of_a_filter_are_held_and_released() {
    let world = World::start().await;
    let api = world.operator().await;
    world.register(&api, &devices(6)).await;
    for id in ["d-3", "d-4"] {
        let tags = json!({"tags": {"ring": "beta"}});
        api.send(Method::PATCH, &format!("/devices/{id}"), Some(&tags)).await.unwrap().success().unwrap();
    }
    api.post("/groups", &json!({"group_id": "hall", "name": "Hall"})).await.unwrap();
    api.post("/groups/hall/members", &json!({"device_ids": ["d-0", "d-1", "d-3"]})).await.unwrap();
    api.post("/groups", &json!({"group_id": "beta", "name": "Beta", "filter": {"tags": {"ring": "beta"}}}))
        .await
        .unwrap();
    let held = async || {
        let body = api.get("/devices").await.unwrap();
        let items = body["items"].as_array().unwrap().clone();
        let held = items.into_iter().filter(|item| item["held"] == true);
        held.map(|item| item["device_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let would =
        api.post("/devices/bulk/hold?dry_run=true", &json!({"group": "hall", "reason": "audit"})).await.unwrap();
    assert_eq!((&would["changed"], &would["dry_run"]), (&json!(3), &json!(true)), "{would}");
    assert_eq!(held().await, Vec::<String>::new());
    let done = api.post("/devices/bulk/hold", &json!({"group": "hall", "reason": "audit"})).await.unwrap();
    assert_eq!(
        (&done["changed"], &done["failed"], &done["next_after"]),
        (&json!(3), &json!(0), &Value::Null),
        "{done}"
    );
    assert_eq!(held().await, ["d-0", "d-1", "d-3"]);
    for id in ["d-0", "d-3"] {
        let history = api.get(&format!("/devices/{id}/history")).await.unwrap();
        let last = history["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["type"], &last["reason"]), (&json!("device.held"), &json!("audit")), "{last}");
        assert_eq!(last["correlation_id"], done["correlation_id"]);
    }
    let both = json!({"group": "hall", "target_filters": {"tags": {"ring": "beta"}}, "reason": "done"});
    let done = api.post("/devices/bulk/release", &both).await.unwrap();
    assert_eq!((&done["changed"], &done["items"][0]["id"]), (&json!(1), &json!("d-3")), "{done}");
    let done = api.post("/devices/bulk/hold", &json!({"group": "beta", "after": "d-3", "reason": "x"})).await.unwrap();
    assert_eq!(done["items"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(held().await, ["d-0", "d-1", "d-4"]);
    let all = json!({"target_filters": {"device_type": "frame"}, "reason": "done"});
    let done = api.post("/devices/bulk/release", &all).await.unwrap();
    assert_eq!((&done["changed"], &done["succeeded"]), (&json!(3), &json!(6)), "{done}");
    assert_eq!(held().await, Vec::<String>::new());
    let unknown = refused(&api, Method::POST, "/devices/bulk/hold", json!({"group": "none"})).await;
    assert_eq!(unknown.0, 422);
    world.read_models_equal_a_replay().await;
}

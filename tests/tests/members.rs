//! Members: grants of a tenant, for all of it, for groups and for own devices.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, TENANT, World};

async fn status(api: &ApiClient, method: Method, path: &str, body: Value) -> u16 {
    api.send(method, path, Some(&body)).await.unwrap().status.as_u16()
}

async fn listed(api: &ApiClient) -> Vec<String> {
    let body = api.get("/devices").await.unwrap();
    let items = body["items"].as_array().unwrap().iter();
    items.map(|item| item["device_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_role_reaches_its_devices_and_no_others() {
    let world = World::start().await;
    let admin = world.operator().await;
    for (id, more) in [
        ("d-1", json!({"owner": "lea"})),
        ("d-2", json!({})),
        ("d-3", json!({"tags": {"ring": "beta"}, "firmware_version": "1.0.0"})),
        ("d-4", json!({"tags": {"ring": "beta"}, "firmware_version": "3.0.0"})),
        ("d-5", json!({"owner": "tom"})),
    ] {
        let mut device = json!({"device_id": id, "device_model": MODEL});
        more.as_object().unwrap().iter().for_each(|(field, value)| device[field] = value.clone());
        admin.post("/devices", &device).await.unwrap();
    }
    admin.post("/groups", &json!({"group_id": "hall", "name": "Hall"})).await.unwrap();
    admin.post("/groups/hall/members", &json!({"device_ids": ["d-2"]})).await.unwrap();
    let beta = json!({"tags": {"ring": "beta"}, "firmware_version": "<2.0.0"});
    admin.post("/groups", &json!({"group_id": "beta", "name": "Beta", "filter": beta})).await.unwrap();
    world.settles().await;

    let sign_in = async |user: &str| ApiClient::sign_in_as(&world.base(), TENANT, user, "person", &[]).await.unwrap();
    let (lea, tom) = (sign_in("lea").await, sign_in("tom").await);
    assert_eq!(status(&lea, Method::GET, "/devices", Value::Null).await, 403);
    let grants = json!({"grants": [{"role": "operator", "groups": ["hall", "beta"], "own": true}], "reason": "hall 3"});
    admin.send(Method::PUT, "/members/user:lea", Some(&grants)).await.unwrap().success().unwrap();
    assert_eq!(listed(&lea).await, ["d-1", "d-2", "d-3"]);
    assert_eq!(admin.get("/devices?owner=lea").await.unwrap()["items"].as_array().unwrap().len(), 1);
    for id in ["d-1", "d-2", "d-3"] {
        assert_eq!(
            status(&lea, Method::POST, &format!("/devices/{id}/hold"), json!({"reason": "x"})).await,
            200,
            "{id}"
        );
        assert_eq!(
            status(&lea, Method::GET, &format!("/tenants/{TENANT}/devices/{id}/history"), Value::Null).await,
            200
        );
    }
    for id in ["d-4", "d-5", "nobody"] {
        for (method, path) in [
            (Method::GET, format!("/devices/{id}")),
            (Method::POST, format!("/devices/{id}/hold")),
            (Method::DELETE, format!("/devices/{id}")),
            (Method::POST, format!("/devices/{id}/credentials")),
            (Method::GET, format!("/updates/{id}~1")),
        ] {
            assert_eq!(status(&lea, method.clone(), &path, json!({"reason": "x"})).await, 404, "{method} {path}");
        }
    }
    for (method, path) in [
        (Method::POST, "/devices"),
        (Method::POST, "/devices/bulk/hold"),
        (Method::GET, "/groups"),
        (Method::POST, "/freeze"),
        (Method::GET, "/updates"),
        (Method::GET, "/members"),
    ] {
        assert_eq!(status(&lea, method.clone(), path, json!({})).await, 403, "{method} {path}");
    }
    assert_eq!(status(&lea, Method::PATCH, "/devices/d-1", json!({"owner": "tom"})).await, 403);

    // Campaigns within the groups, and no others.
    let firmware = world.firmware(&admin, "2.0.0").await;
    let draft = |targets: Value| {
        let mut draft = json!({"name": "C", "firmware_id": firmware, "deployment_strategy": "immediate"});
        targets.as_object().unwrap().iter().for_each(|(field, value)| draft[field] = value.clone());
        draft
    };
    for beyond in
        [json!({"target_all": true}), json!({"target_devices": ["d-2"]}), json!({"target_groups": ["hall", "other"]})]
    {
        assert_eq!(status(&lea, Method::POST, "/campaigns", draft(beyond.clone())).await, 403, "{beyond}");
    }
    let all = admin.post("/campaigns", &draft(json!({"target_all": true}))).await.unwrap()["campaign_id"].clone();
    let own = lea.post("/campaigns", &draft(json!({"target_groups": ["hall"]}))).await.unwrap()["campaign_id"].clone();
    let seen = lea.get("/campaigns").await.unwrap()["items"].clone();
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["campaign_id"]), (1, &own), "{seen}");
    for (id, expected) in [(&own, 200), (&all, 404)] {
        let path = format!("/campaigns/{}", id.as_str().unwrap());
        assert_eq!(status(&lea, Method::GET, &path, Value::Null).await, expected);
        assert_eq!(status(&lea, Method::POST, &format!("{path}/start"), json!({})).await, expected);
    }

    // A grant for the whole tenant, and none at all.
    let viewer = json!({"grants": [{"role": "viewer"}], "reason": "audit"});
    admin.send(Method::PUT, "/members/user:tom", Some(&viewer)).await.unwrap().success().unwrap();
    assert_eq!(listed(&tom).await.len(), 5);
    assert_eq!(status(&tom, Method::POST, "/devices/d-5/hold", json!({})).await, 403);
    assert_eq!(admin.get("/members?count=true").await.unwrap()["total"], 2);
    admin.send(Method::DELETE, "/members/user:tom", Some(&json!({"reason": "left"}))).await.unwrap().success().unwrap();
    assert_eq!(status(&tom, Method::GET, "/devices", Value::Null).await, 403);
    let platform = json!({"grants": [{"role": "platform_admin"}]});
    assert_eq!(status(&admin, Method::PUT, "/members/user:tom", platform).await, 422);
    world.read_models_equal_a_replay().await;
}

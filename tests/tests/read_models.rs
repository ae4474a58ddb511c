//! Read models: rebuilt while serving, equal to a replay, current for one's own writes.

use reqwest::Method;
use serde_json::json;
use waybill::api_client::ApiClient;

use waybill::role_user::RoleUser;

use crate::world::{MASTER_KEY, MODEL, World, devices, waybill_binary};

/// Flags of an API process, while no process applies events to the read models.
const API_ALONE: [&str; 10] = [
    "--role",
    "api",
    "--jwt-secret",
    "a secret for tokens that is long enough",
    "--download-secret",
    "a secret for links that is long enough",
    "--credential-secret",
    "a secret for hashes that is long enough",
    "--master-key",
    MASTER_KEY,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_rebuilt_while_serving() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(10)).await;
    let id = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    world.campaign_is(&api, &id, &["completed"]).await;
    world.settles().await;
    for name in ["fleet", "archive"] {
        let output = std::process::Command::new(waybill_binary())
            .args([
                "rebuild",
                name,
                "--nats-url",
                &world.stack.nats.role_url(RoleUser::Reader),
                "--database-url",
                &world.stack.postgres.url(),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    api.post("/devices", &json!({"device_id": "after", "device_model": MODEL})).await.unwrap();
    world.until_get(&api, "/devices/after", "the rebuilt model continues", |body| body["device_id"] == "after").await;
    let status = api.get(&format!("/campaigns/{id}/status")).await.unwrap();
    assert_eq!(status["confirmed"], 10, "{status}");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_read_their_own_writes_at_once() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let seen = async |path: &str| {
        let read = api.send(Method::GET, path, None).await.unwrap();
        assert_eq!(read.status, 200, "{path}: {}", read.body);
        read.body
    };
    seen(&format!("/firmware/{firmware}")).await;
    for n in 0..20 {
        let id = format!("d-{n}");
        api.post("/devices", &json!({"device_id": id, "device_model": MODEL})).await.unwrap();
        seen(&format!("/devices/{id}")).await;
        assert_eq!(seen("/devices?count=true").await["total"], n + 1);
        api.post(&format!("/devices/{id}/update"), &json!({"firmware_id": firmware})).await.unwrap();
        assert_eq!(seen(&format!("/updates/{id}~1")).await["firmware_id"], firmware.as_str());
        assert_eq!(seen(&format!("/devices/{id}/updates?count=true")).await["total"], 1);
        let wanted = json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "canary", "canary_size": 1, "target_all": true});
        let campaign = api.post("/campaigns", &wanted).await.unwrap();
        seen(&format!("/campaigns/{}/status", campaign["campaign_id"].as_str().unwrap())).await;
        for filter in ["firmware", "firmware_id"] {
            let path = format!("/campaigns?{filter}={firmware}&strategy=canary&count=true");
            assert_eq!(seen(&path).await["total"], n + 1, "{path}");
        }
    }
    assert_eq!(seen("/campaigns?strategy=staged&count=true").await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_waits_for_the_given_position() {
    let world = World::start().await;
    let api = world.operator().await;
    for n in 0..20 {
        let created =
            api.post("/devices", &json!({"device_id": format!("d-{n}"), "device_model": MODEL})).await.unwrap();
        let position = created["position"].as_str().unwrap().to_owned();
        let read = api.send(Method::GET, &format!("/devices/d-{n}?min_position={position}"), None).await.unwrap();
        assert_eq!(read.status, 200, "{}", read.body);
    }
    let other = api.send(Method::GET, "/devices?min_position=1000000000001-1", None).await.unwrap();
    assert_eq!(other.status, 409, "a token of another incarnation: {}", other.body);
}

/// Status, whether to retry, and type of the problem in the reply to a GET.
async fn told(world: &World, api: &ApiClient, path: &str) -> (u16, bool, String) {
    let request = api.http().get(format!("{}/api/v1{path}", world.base())).bearer_auth(api.token());
    let reply = request.send().await.unwrap();
    let (status, again) = (reply.status().as_u16(), reply.headers().contains_key("retry-after"));
    let body: serde_json::Value = reply.json().await.unwrap();
    (status, again, body["type"].as_str().unwrap_or("none").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_never_answers_404_for_a_device_that_exists() {
    let mut world = World::start().await;
    world.stop_waybill().await;
    world.restart_with(&API_ALONE).await;
    let api = world.operator().await;
    let created = api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let position = created["position"].as_str().unwrap().to_owned();
    let not_yet = (503, true, "/problems/read_model_behind".to_owned());
    let unknown = (404, false, "/problems/not_found".to_owned());
    let asked = ["/devices/d-1", "/devices/d-1/updates", "/devices/d-1/firmware-history", "/devices", "/devices/d-2"];
    let answers = futures::future::join_all(asked.map(|path| told(&world, &api, path))).await;
    assert_eq!(answers, [not_yet.clone(), not_yet.clone(), not_yet.clone(), not_yet.clone(), unknown.clone()]);
    world.stop_waybill().await;

    // Another process doesn't know what the caller has stored.
    world.restart_with(&API_ALONE).await;
    let api = world.operator().await;
    let asked = [
        ("/devices/d-1".to_owned(), &not_yet),
        ("/devices/d-1/ota/status".to_owned(), &not_yet),
        (format!("/devices?min_position={position}"), &not_yet),
        ("/devices/d-2".to_owned(), &unknown),
        ("/updates/d-1~1".to_owned(), &unknown),
        ("/campaigns/00000000-0000-0000-0000-000000000001/status".to_owned(), &unknown),
    ];
    let answers = futures::future::join_all(asked.iter().map(|(path, _)| told(&world, &api, path))).await;
    assert_eq!(answers.iter().collect::<Vec<_>>(), asked.iter().map(|(_, told)| *told).collect::<Vec<_>>());
    world.stop_waybill().await;
    world.restart_with(&[]).await;
    let api = world.operator().await;
    world.until_get(&api, "/devices/d-1", "the read model has it", |body| body["device_id"] == "d-1").await;
}

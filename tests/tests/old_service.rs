//! The steps of the old OTA service's tests, with its paths and words, through the front door.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use waybill::simulate::DeviceSpec;

use crate::world::{MODEL, World, device};

/// Devices of the campaign; one more gets an update of its own.
const FRAMES: [&str; 3] = ["frame-1", "frame-2", "frame-3"];
const SINGLE: &str = "frame-9";

/// Plain HTTP, as with curl.
struct Curl<'a> {
    world: &'a World,
    http: Client,
    token: String,
}

impl Curl<'_> {
    async fn answer(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn at(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.world.base()))
    }

    #[track_caller]
    fn expect((status, body): (StatusCode, Value), expected: u16) -> Value {
        assert_eq!(status, expected, "{body}");
        body
    }

    async fn get(&self, path: &str) -> Value {
        Self::expect(self.answer(self.at(Method::GET, path)).await, 200)
    }

    async fn send(&self, method: Method, path: &str, body: Value, expected: u16) -> Value {
        Self::expect(self.answer(self.at(method, path).json(&body)).await, expected)
    }

    /// Uploads a file with its metadata. The old service's clients send the metadata first.
    async fn upload(&self, version: &str) -> Value {
        let metadata = json!({
            "name": "SmartFrame Firmware", "version": version, "device_model": MODEL, "manufacturer": "SmartTech",
            "changelog": "Bug fixes and improvements",
        });
        let file = reqwest::multipart::Part::bytes(version.repeat(4_096).into_bytes()).file_name("firmware.bin");
        let form = reqwest::multipart::Form::new().text("metadata", metadata.to_string()).part("file", file);
        Self::expect(self.answer(self.at(Method::POST, "/firmware").multipart(form)).await, 201)
    }
}

/// Test 1: a token of development mode, at both paths.
async fn token(world: &World) -> String {
    let wanted = json!({"user_id": "test-user", "email": "test@example.com", "expires_in": 3_600});
    let mut token = String::new();
    for path in ["/auth/dev-token", "/api/v1/auth/dev-token"] {
        let reply = Client::new().post(format!("{}{path}", world.base())).json(&wanted).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        let body: Value = reply.json().await.unwrap();
        assert_eq!((&body["token_type"], &body["tenant_id"]), (&json!("Bearer"), &json!("default")), "{body}");
        token = body["token"].as_str().unwrap().to_owned();
    }
    token
}

/// Tests 2 and 3: health of the process, and of its parts.
async fn health(world: &World) {
    for path in ["/health", "/health/detailed"] {
        let reply = reqwest::get(format!("{}{path}", world.base())).await.unwrap();
        assert_eq!(reply.status(), 200, "{path}: {}", reply.text().await.unwrap());
    }
}

/// Tests 4, 5 and 6: upload, list, details. Returns the id of the new firmware.
async fn firmware(curl: &Curl<'_>) -> String {
    curl.upload("1.9.0").await;
    let uploaded = curl.upload("2.1.0").await;
    let new = uploaded["firmware_id"].as_str().unwrap().to_owned();
    let listed = curl.get(&format!("/firmware?device_model={MODEL}&version=2.1.0")).await;
    assert_eq!(listed["items"][0]["firmware_id"], uploaded["firmware_id"], "{listed}");
    let details = curl.get(&format!("/firmware/{new}")).await;
    assert_eq!((&details["version"], &details["manufacturer"]), (&json!("2.1.0"), &json!("SmartTech")), "{details}");
    for digest in ["checksum_md5", "checksum_sha1", "checksum_sha256"] {
        assert!(details[digest].is_string(), "{digest}: {details}");
    }
    let link = curl.get(&format!("/firmware/{new}/download")).await;
    let bytes = reqwest::get(link["download_url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes.len() as u64, details["file_size"].as_u64().unwrap());
    new
}

/// Tests 7 to 10: create, get, list and start a campaign. Returns its id.
async fn campaign(curl: &Curl<'_>, firmware: &str) -> String {
    let wanted = json!({
        "name": "Q4 2024 Update", "firmware_id": firmware, "deployment_strategy": "staged",
        "target_filters": {"device_type": "smart_frame", "firmware_version": "<2.0.0"}, "rollout_percentage": 100,
        "max_concurrent_updates": 50, "batch_size": 10, "auto_rollback": true, "failure_threshold_percent": 20,
    });
    let created = curl.send(Method::POST, "/campaigns", wanted, 201).await;
    let id = created["campaign_id"].as_str().unwrap().to_owned();
    let got = curl.get(&format!("/campaigns/{id}")).await;
    assert_eq!((&got["name"], &got["status"]), (&json!("Q4 2024 Update"), &json!("draft")), "{got}");
    let listed = curl.get("/campaigns?status=draft").await;
    assert_eq!(listed["items"][0]["campaign_id"], id.as_str(), "{listed}");
    let started = curl.send(Method::POST, &format!("/ota/campaigns/{id}/execute"), json!({}), 200).await;
    assert_eq!(
        (&started["campaign_id"], &started["workflows_submitted"]),
        (&json!(id), &json!(FRAMES.len())),
        "{started}"
    );
    assert_eq!(started["plan_complete"], true, "{started}");
    id
}

/// Test 11: a single update, in both spellings. Returns its id.
async fn single_update(curl: &Curl<'_>, firmware: &str) -> String {
    let order = json!({"device_id": SINGLE, "firmware_id": firmware, "priority": "high", "timeout_minutes": 30});
    let queued = curl.send(Method::PUT, &format!("/devices/{SINGLE}/ota/update"), order.clone(), 201).await;
    let id = queued["update_id"].as_str().unwrap().to_owned();
    let again = curl.answer(curl.at(Method::POST, &format!("/devices/{SINGLE}/update")).json(&order)).await;
    assert_eq!((again.0.as_u16(), &again.1["type"]), (409, &json!("/problems/update_in_progress")), "{}", again.1);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_the_old_service_work_with_its_paths_and_words() {
    let world = World::start().await;
    let curl = Curl { world: &world, http: Client::new(), token: token(&world).await };
    health(&world).await;
    let new = firmware(&curl).await;
    for id in FRAMES.into_iter().chain([SINGLE]) {
        let kind = if id == SINGLE { "other" } else { "smart_frame" };
        let wanted = json!({
            "device_id": id, "name": id, "device_type": kind, "device_model": MODEL, "firmware_version": "1.9.0",
        });
        curl.send(Method::POST, "/devices", wanted, 201).await;
    }
    let all = FRAMES.into_iter().chain([SINGLE]);
    let _fleet = world.fleet(all.map(|id| DeviceSpec { firmware_version: "1.9.0".into(), ..device(id) }).collect());
    let operator = world.operator().await;
    world.online(&operator, FRAMES.len() + 1).await;

    let campaign = campaign(&curl, &new).await;
    // Test 12: progress of a campaign, at all paths.
    world.campaign_is(&operator, &campaign, &["completed"]).await;
    for path in ["/campaigns/{id}/status", "/ota/campaigns/{id}/status", "/stats/campaigns/{id}"] {
        let progress = curl.get(&path.replace("{id}", &campaign)).await;
        assert_eq!(progress["progress_percent"].as_f64(), Some(100.0), "{path}: {progress}");
        assert_eq!(progress["status_counts"]["confirmed"], FRAMES.len(), "{path}: {progress}");
    }

    let update = single_update(&curl, &new).await;
    // Test 13: progress of an update, in the words of both old systems.
    let what = "the update is completed";
    world.until_get(&operator, &format!("/updates/{update}"), what, |body| body["status"] == "completed").await;
    let progress = curl.get(&format!("/devices/{SINGLE}/ota/status")).await;
    let shown = &progress["update"];
    assert_eq!((&shown["status"], &shown["workflow_status"]), (&json!("completed"), &json!("COMPLETE")), "{progress}");
    assert_eq!(curl.get(&format!("/devices/{SINGLE}")).await["firmware_version"], "2.1.0");
    // Test 14: history of a device.
    let history = curl.get(&format!("/devices/{SINGLE}/updates")).await;
    assert_eq!(history["items"][0]["update_id"], update.as_str(), "{history}");
    let versions = curl.get(&format!("/devices/{SINGLE}/firmware-history")).await;
    assert_eq!(
        (&versions["items"][1]["from_version"], &versions["items"][1]["to_version"]),
        (&json!("1.9.0"), &json!("2.1.0")),
        "{versions}"
    );
    // Tests 15 and 16: a device goes back to a version that it ran, and its history shows that.
    let back = json!({"to_version": "1.9.0", "reason": "Critical bug in 2.0.0"});
    let rollback = curl.send(Method::POST, &format!("/devices/{SINGLE}/rollback"), back, 201).await;
    assert_eq!(
        (&rollback["status"], &rollback["workflow_status"]),
        (&json!("rollback"), &json!("ROLLBACK")),
        "{rollback}"
    );
    let path = format!("/updates/{}", rollback["update_id"].as_str().unwrap());
    world.until_get(&operator, &path, "the rollback is confirmed", |body| body["phase"] == "confirmed").await;
    assert_eq!(curl.get(&format!("/devices/{SINGLE}")).await["firmware_version"], "1.9.0");
    let rollbacks = curl.get(&format!("/devices/{SINGLE}/rollbacks")).await;
    assert_eq!(rollbacks["items"][0]["reason"], "Critical bug in 2.0.0", "{rollbacks}");
}

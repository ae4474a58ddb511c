//! No secret is in a log, an event, a read model, a metric or a refusal: a test uses known secrets, also in wrong places, and searches for
//! them in all that Waybill and its servers have written.

use std::path::{Path, PathBuf};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::{Fleet, FleetOptions, Hidden, Login};

use crate::world::{MODEL, TENANT, World, devices};

const DEVICES: usize = 3;
/// Secrets of the service; not used elsewhere.
const JWT_SECRET: &str = "jwt-GmD2mBr6sVkQ9tZcX4yLwN7pHfJ8aE";
const DOWNLOAD_SECRET: &str = "download-wU5eRk2oTq8PzVbY3nMxC6hSdF";
const CREDENTIAL_SECRET: &str = "credential-L9jKfA4gXsHq7DmWvTz2NcBp";
/// Name of a device that is in the log and in the read models, which shows that the search finds what is there.
const KNOWN: &str = "d-0-seen-by-the-search";
/// Bytes of a secret that are searched for.
const PART_BYTES: usize = 20;

/// A secret and what it is.
struct Secret(&'static str, String);

impl Secret {
    /// Parts of it that are nowhere else: texts may repeat its beginning, which says what kind it is.
    fn parts(&self) -> [&str; 2] {
        let (text, length) = (self.1.as_str(), self.1.len());
        let middle = (length / 3).min(length - PART_BYTES);
        [&text[middle..middle + PART_BYTES], &text[length - PART_BYTES..]]
    }

    fn is_in(&self, text: &str) -> bool {
        self.parts().iter().any(|part| text.contains(part))
    }
}

/// All files below a directory, with their content.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => {
                found.extend(std::fs::read(&path).ok().map(|content| (path, lossy(&content))))
            }
            _ => {}
        }
    }
    found
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a file is meant to contain secrets: settings of servers and their addresses.
fn is_for_secrets(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".conf")
        || name.contains("seed")
        || name.ends_with("-url")
        || path.components().any(|part| part.as_os_str() == "secrets")
}

/// Requests with secrets in wrong places; returns the bodies of their answers.
async fn wrong_requests(world: &World, secrets: &[Secret]) -> Vec<(String, String)> {
    let (http, base) = (Client::new(), world.base());
    let mut bodies = Vec::new();
    for Secret(kind, secret) in secrets {
        let changed = format!("{}x", &secret[..secret.len() - 1]);
        for (what, shown) in [("itself", secret), ("changed", &changed)] {
            let authorized = |path: &str| http.get(format!("{base}{path}")).bearer_auth(shown);
            let requests = [
                authorized("/api/v1/campaigns?nonsense=1"),
                authorized("/api/v1/tenants/other/devices"),
                http.get(format!("{base}/api/v1/events/stream?types=nonsense&ticket={shown}")),
                http.post(format!("{base}/api/v1/device-registrations"))
                    .bearer_auth(shown)
                    .json(&json!({"device_id": "x y"})),
                http.post(format!("{base}/api/v1/devices")).bearer_auth(shown).json(&json!({"device_id": 7})),
                http.get(format!("{base}/d/{shown}")),
                http.get(format!("{base}/d/{shown}")).header("range", "bytes=99999999-"),
                http.get(format!("{base}/api/v1/devices")).basic_auth("user", Some(shown)),
            ];
            for (n, request) in requests.into_iter().enumerate() {
                let reply = request.send().await.unwrap();
                if !reply.status().is_success() {
                    bodies.push((format!("{kind} {what}, request {n}"), reply.text().await.unwrap()));
                }
            }
        }
    }
    bodies
}

/// What is shown once is known to the test from here on.
async fn issued(world: &World, api: &ApiClient) -> Vec<Secret> {
    let text = |body: &Value, field: &str| body[field].as_str().unwrap().to_owned();
    let device = json!({"device_id": KNOWN, "device_model": MODEL, "firmware_version": "1.0.0"});
    api.post("/devices", &device).await.unwrap();
    let credential = api.post(&format!("/devices/{KNOWN}/credentials"), &json!({})).await.unwrap();
    let registration = json!({"device_model": MODEL, "devices_max": 10});
    let registration = api.post("/registration-tokens", &registration).await.unwrap();
    let firmware = world.firmware(api, "2.0.0").await;
    let link = api.get(&format!("/firmware/{firmware}/download")).await.unwrap();
    let link = text(&link, "download_url");
    let ticket = api.post("/auth/stream-ticket", &Value::Null).await.unwrap();
    vec![
        Secret("a user's token", api.token().to_owned()),
        Secret("a device's token", text(&credential, "token")),
        Secret("a registration token", text(&registration, "token")),
        Secret("a ticket of a stream", text(&ticket, "ticket")),
        Secret("a download link", link.rsplit('/').next().unwrap().to_owned()),
    ]
}

/// Devices register themselves and are updated.
async fn update(world: &World, api: &ApiClient, registration_token: &str) {
    let mqtt = world.stack.nats.mqtt_listen();
    let fleet = Fleet::start(FleetOptions {
        mqtt_host: mqtt.ip().to_string(),
        mqtt_port: mqtt.port(),
        tenant: TENANT.to_owned(),
        login: Login::Own { server: world.base(), registration_token: Hidden(registration_token.to_owned()) },
        devices: devices(DEVICES),
        ..FleetOptions::default()
    })
    .unwrap();
    world.online(api, DEVICES).await;
    let firmware = api.get("/firmware").await.unwrap()["items"][0]["firmware_id"].as_str().unwrap().to_owned();
    let targets: Vec<String> = (0..DEVICES).map(|n| format!("d-{n}")).collect();
    let wanted = json!({"deployment_strategy": "immediate", "target_all": false, "target_devices": targets});
    let id = world.campaign(api, &firmware, wanted).await;
    world.campaign_is(api, &id, &["completed"]).await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_logs_events_read_models_metrics_or_refusals() {
    let given =
        ["--jwt-secret", JWT_SECRET, "--download-secret", DOWNLOAD_SECRET, "--credential-secret", CREDENTIAL_SECRET];
    let world = World::start_closed_with(&[&given[..], &["--log-level", "debug"]].concat()).await;
    let api = world.operator().await;
    let mut secrets = issued(&world, &api).await;
    let refusals = wrong_requests(&world, &secrets).await;
    update(&world, &api, &secrets[2].1).await;
    let dead = api.send(Method::GET, "/dead-letters", None).await.unwrap();
    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    world.settles().await;
    secrets.extend([
        Secret("WAYBILL_JWT_SECRET", JWT_SECRET.to_owned()),
        Secret("WAYBILL_DOWNLOAD_SECRET", DOWNLOAD_SECRET.to_owned()),
        Secret("WAYBILL_CREDENTIAL_SECRET", CREDENTIAL_SECRET.to_owned()),
        Secret("WAYBILL_NATS_ISSUER_SEED", world.stack.nats.issuer_seed().to_owned()),
    ]);
    let stored = files(world.data_dir());
    let stored = stored
        .into_iter()
        .filter(|(path, _)| !is_for_secrets(path))
        .map(|(path, text)| (path.display().to_string(), text));
    let mut texts: Vec<(String, String)> = stored.collect();
    texts.extend(refusals);
    texts.push(("dead letters".to_owned(), dead.body.to_string()));
    texts.push(("metrics".to_owned(), metrics));
    let known = Secret("a name", KNOWN.to_owned());
    let seen_in = |part: &str| texts.iter().any(|(path, text)| path.contains(part) && known.is_in(text));
    assert!(seen_in("/EVENTS/") && seen_in("/postgres/") && seen_in("/FEED/"), "the search finds what is there");
    let found: Vec<String> = texts
        .iter()
        .flat_map(|(place, text)| {
            secrets
                .iter()
                .filter(|secret| secret.is_in(text))
                .map(move |Secret(kind, _)| format!("{kind} is in {place}"))
        })
        .collect();
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    println!("searched {} texts, {bytes} bytes, for {} secrets", texts.len(), secrets.len());
    assert!(found.is_empty(), "{found:#?}");
}

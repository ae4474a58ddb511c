//! Credentials of devices: shown once, two at a time, revoked; and nowhere else a token or a hash.

use axum::http::Method;
use domain::device::Device;
use domain::{ActorKind, DeviceId, Key, TenantId};
use event_store::feed;
use serde_json::{Value, json};
use trust::{DeviceToken, RegistrationToken};

use super::parameters::filled;
use super::{Answer, Api, token};
use crate::caller::Role;

const PATH: &str = "/devices/d-1/credentials";
const KEY: [(&str, &str); 1] = [("Idempotency-Key", "k")];

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

async fn with_device() -> Api {
    let api = Api::new();
    api.device("d-1").await;
    api
}

impl Api {
    async fn issued(&self) -> Answer {
        let answer = self.post(PATH, json!({})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer
    }

    async fn revoke(&self, id: &Value) -> Answer {
        let path = format!("{PATH}/{}", id.as_str().unwrap());
        self.call(Method::DELETE, &path, &[], json!({"reason": "lost"})).await
    }

    async fn listed(&self) -> Vec<Value> {
        let answer = self.get(PATH).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["items"].as_array().unwrap().iter().map(|item| item["credential_id"].clone()).collect()
    }
}

#[tokio::test]
async fn a_token_is_shown_when_it_is_issued_and_never_again() {
    let api = with_device().await;
    let body = json!({"expires_at": "2099-01-01T00:00:00Z", "reason": "new"});
    let first = api.call(Method::POST, PATH, &KEY, body.clone()).await;
    assert_eq!((first.status.as_u16(), first.header("cache-control")), (201, "no-store"), "{}", first.body);
    assert_eq!(first.header("location"), "/api/v1/devices/d-1/credentials");
    let shown = DeviceToken::parse(first.body["token"].as_str().unwrap()).expect("a device's token");
    let device = api.store.load(&Key::<Device>::new(&tenant(), &DeviceId::new("d-1").unwrap())).await.unwrap();
    let hash = api.app.config.token_hasher.hash(&shown);
    let opened = device.aggregate.credential(&hash, runtime::clock::now()).expect("it opens the device");
    assert_eq!(first.body["credential_id"], opened.id.to_string());
    let mqtt = json!({"username": "acme/d-1", "client_id": "acme/d-1", "topic_prefix": "acme/devices/d-1/"});
    assert_eq!((&first.body["mqtt"], &first.body["expires_at"]), (&mqtt, &body["expires_at"]));
    let stored = api.stored().await;
    let again = api.call(Method::POST, PATH, &KEY, body).await;
    assert_eq!(outcome(&again), (409, "token_shown"));
    assert_eq!(again.body["facts"]["credential_id"], first.body["credential_id"]);
    let other = api.call(Method::POST, PATH, &KEY, json!({"reason": "another"})).await;
    assert_eq!(outcome(&other), (422, "idempotency_key_reused"));
    let listed = api.get(PATH).await.body;
    let shown = json!({"credential_id": first.body["credential_id"], "issued_at": listed["items"][0]["issued_at"],
        "expires_at": "2099-01-01T00:00:00Z", "expired": false, "by": "user:42"});
    assert_eq!(listed, json!({"items": [shown]}));
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn a_third_live_credential_is_refused_until_one_is_revoked() {
    let api = with_device().await;
    let [first, second] = [api.issued().await, api.issued().await].map(|answer| answer.body["credential_id"].clone());
    let third = api.post(PATH, json!({})).await;
    assert_eq!(outcome(&third), (409, "too_many_credentials"));
    assert_eq!(third.body["facts"]["credentials"], json!([first, second]));
    let revoked = api.revoke(&first).await;
    assert_eq!((revoked.status.as_u16(), &revoked.body["id"]), (200, &first), "{}", revoked.body);
    assert_eq!(api.listed().await, [second]);
    let stored = api.stored().await;
    assert_eq!(api.revoke(&first).await.status, 200, "it is revoked already");
    assert_eq!(outcome(&api.revoke(&json!("00000000-0000-0000-0000-000000000001")).await), (404, "credential_unknown"));
    assert_eq!(api.stored().await, stored);
    api.issued().await;
    assert_eq!(api.listed().await.len(), 2);
}

#[tokio::test]
async fn a_revocation_belongs_to_its_key_and_warns_without_a_reason() {
    let api = with_device().await;
    let path = format!("{PATH}/{}", api.issued().await.body["credential_id"].as_str().unwrap());
    let first = api.call(Method::DELETE, &path, &KEY, json!({})).await;
    assert!(first.body["warnings"][0].as_str().unwrap().contains("no reason"), "{}", first.body);
    let again = api.call(Method::DELETE, &path, &KEY, json!({})).await;
    assert_eq!((again.status.as_u16(), &again.body["position"]), (200, &first.body["position"]));
    let other = api.call(Method::DELETE, &path, &KEY, json!({"reason": "x"})).await;
    assert_eq!(outcome(&other), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn credentials_are_for_devices_in_service_and_end_in_the_future() {
    let api = with_device().await;
    assert_eq!(outcome(&api.post("/devices/d-2/credentials", json!({})).await), (404, "device_unknown"));
    assert_eq!(api.get("/devices/d-2/credentials").await.status, 404);
    for (body, field) in [
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "+12020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "tomorrow"}), "expires_at"),
        (json!({"token": "mine"}), "token"),
    ] {
        let refused = api.post(PATH, body).await;
        assert_eq!((refused.status.as_u16(), &refused.body["errors"][0]["field"]), (422, &json!(field)));
    }
    let id = api.issued().await.body["credential_id"].clone();
    assert_eq!(api.call(Method::DELETE, "/devices/d-1", &[], json!({"reason": "sold"})).await.status, 200);
    assert_eq!(api.listed().await, [] as [Value; 0], "decommissioning ends all");
    assert_eq!(outcome(&api.post(PATH, json!({})).await), (409, "device_decommissioned"));
    assert_eq!(outcome(&api.revoke(&id).await), (409, "device_decommissioned"));
    api.device("d-1").await;
    assert_eq!(api.listed().await, [] as [Value; 0], "recommissioning brings none back");
}

#[tokio::test]
async fn a_dry_run_issues_and_shows_nothing() {
    let api = with_device().await;
    let stored = api.stored().await;
    for path in [PATH, "/registration-tokens"] {
        let body = if path == PATH { json!({}) } else { json!({"devices_max": 1}) };
        let answer = api.post(&format!("{path}?dry_run=true"), body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["token"]), (200, &Value::Null), "{}", answer.body);
    }
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn viewers_list_operators_issue_and_admins_let_devices_register() {
    let api = with_device().await;
    let id = api.issued().await.body["credential_id"].as_str().unwrap().to_owned();
    let [viewer, operator] = [Role::Viewer, Role::Operator].map(|role| api.bearing(token("acme", role)));
    let tokens = "/registration-tokens";
    let one = format!("{tokens}/00000000-0000-0000-0000-000000000001");
    let revoke = format!("{PATH}/{id}");
    assert_eq!(viewer.get(PATH).await.status, 200);
    for (method, path) in [(Method::POST, PATH), (Method::DELETE, &revoke)] {
        assert_eq!(outcome(&viewer.call(method, path, &[], json!({})).await), (403, "forbidden"), "{path}");
    }
    for (method, path) in [(Method::POST, tokens), (Method::GET, &one), (Method::DELETE, &one)] {
        let body = if method == Method::POST { json!({"devices_max": 1}) } else { Value::Null };
        assert_eq!(outcome(&operator.call(method, path, &[], body).await), (403, "forbidden"), "{path}");
    }
    assert_eq!(operator.call(Method::DELETE, &revoke, &[], json!({})).await.status, 200);
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

#[tokio::test]
async fn tokens_of_devices_open_no_other_route() {
    let api = with_device().await;
    let device = api.issued().await.body["token"].as_str().unwrap().to_owned();
    let registration = api.post("/registration-tokens", json!({"devices_max": 1})).await.body["token"].clone();
    let bearers = [api.bearing(device), api.bearing(registration.as_str().unwrap())];
    let stored = api.stored().await;
    let description: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let mut walked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "servers") {
            // Operations that name no security of their own need a caller.
            if !operation["security"].is_null() {
                continue;
            }
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            for bearer in &bearers {
                let answer = bearer.call(method.clone(), &filled(path), &[], Value::Null).await;
                assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
            }
            walked += 1;
        }
    }
    assert!(walked > 70, "{walked}");
    assert_eq!(api.stored().await, stored);
}

/// The texts of a token that no other reply may have.
fn secrets_of(api: &Api, device: &Value, registration: &Value) -> Vec<String> {
    let (device, registration) = (device.as_str().unwrap(), registration.as_str().unwrap());
    let hasher = &api.app.config.token_hasher;
    let hashes = [
        hasher.hash(&DeviceToken::parse(device).unwrap()),
        hasher.hash(&RegistrationToken::parse(registration).unwrap()),
    ];
    [device, registration].map(str::to_owned).into_iter().chain(hashes.map(String::from)).collect()
}

#[tokio::test]
async fn no_other_reply_no_feed_and_no_debug_output_has_a_token_or_a_hash() {
    let api = with_device().await.follows_keys().await;
    let registration = api.post("/registration-tokens", json!({"devices_max": 9})).await.body;
    let device = api.issued().await.body;
    let api_key = api.post("/api-keys", json!({"roles": ["viewer"]})).await.body;
    let mut secrets = secrets_of(&api, &device["token"], &registration["token"]);
    let shown = trust::ApiKey::parse(api_key["token"].as_str().unwrap()).unwrap();
    secrets.extend([shown.as_ref().reveal().to_owned(), String::from(api.app.config.token_hasher.hash(&shown))]);
    let hides = |what: &str, text: &str| {
        assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{what} shows a secret: {text}");
    };
    let token_id = registration["token_id"].as_str().unwrap();
    // Whoever has stored nothing waits for nothing.
    let reader = api.acting(ActorKind::Person, "7", Role::Admin);
    let description: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    for (path, item) in description["paths"].as_object().unwrap() {
        if !item["get"].is_null() {
            let path = path.replace("{token_id}", token_id).replace("{key_id}", api_key["key_id"].as_str().unwrap());
            let path = filled(&path);
            hides(&path, &reader.get(&path).await.body.to_string());
            hides(&path, &reader.get(&format!("{path}?at_position=3")).await.body.to_string());
        }
    }
    let history = api.get("/devices/d-1/history").await.body;
    assert_eq!(history["items"][1]["type"], "device.credential_issued");
    assert_eq!(history["items"][1]["event"]["credential_id"], device["credential_id"]);
    let key = Key::<Device>::new(&tenant(), &DeviceId::new("d-1").unwrap());
    let mut kept = 0;
    for record in api.store.log().read(key.raw(), 1, event_store::log::ALL).await.unwrap() {
        kept += usize::from(String::from_utf8_lossy(&record.body).contains(&secrets[2]));
        for message in feed::messages(&record).unwrap() {
            hides("FEED", &String::from_utf8_lossy(&message.body));
        }
    }
    assert_eq!(kept, 1, "the log alone has the hash");
    hides("Debug", &format!("{:?}", api.store.load(&key).await.unwrap()));
    for repeated in [api.revoke(&device["credential_id"]).await, api.post("/registration-tokens", json!({})).await] {
        hides("a reply", &repeated.body.to_string());
    }
}

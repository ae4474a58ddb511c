//! Devices that register themselves with a registration token.

use axum::body::Body;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use domain::registration_token::{RegistrationScope, RegistrationTerms, RegistrationToken, RegistrationTokenCommand};
use domain::{Actor, CommandId, Key, RegistrationTokenId, TenantId};
use futures::future::join_all;
use runtime::clock;
use serde_json::{Value, json};
use trust::DeviceToken;

use super::{Answer, Api, MODEL};

const PATH: &str = "/device-registrations";
const KEY: [(&str, &str); 1] = [("Idempotency-Key", "k")];

fn described(id: &str) -> Value {
    json!({"device_id": id, "device_model": MODEL, "device_type": "frame", "firmware_version": "1.0.0"})
}

impl Api {
    /// Devices that hold a token for the scope.
    async fn devices(&self, terms: Value) -> (Api, String) {
        let mut body = json!({"devices_max": 100});
        for (field, value) in terms.as_object().unwrap() {
            body[field] = value.clone();
        }
        let issued = self.post("/registration-tokens", body).await;
        assert_eq!((issued.status.as_u16(), issued.header("cache-control")), (201, "no-store"), "{}", issued.body);
        let id = issued.body["token_id"].as_str().unwrap().to_owned();
        assert_eq!(issued.header("location"), format!("/api/v1/registration-tokens/{id}"));
        (self.bearing(issued.body["token"].as_str().unwrap()), id)
    }

    async fn token(&self, id: &str) -> Value {
        let answer = self.get(&format!("/registration-tokens/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    async fn history(&self, device: &str) -> Vec<Value> {
        let answer = self.get(&format!("/devices/{device}/history")).await;
        answer.body["items"].as_array().unwrap().clone()
    }
}

fn types(history: &[Value]) -> Vec<&str> {
    history.iter().map(|item| item["type"].as_str().unwrap()).collect()
}

async fn registered(devices: &Api, id: &str) -> Value {
    let answer = devices.post(PATH, described(id)).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (201, "no-store"), "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn an_unknown_device_is_registered_with_the_tags_of_its_token() {
    let api = Api::new();
    let (devices, token_id) = api.devices(json!({"tags": {"batch": "24-07"}})).await;
    let device = registered(&devices, "SN-1").await;
    let mqtt = json!({"username": "acme/SN-1", "client_id": "acme/SN-1", "topic_prefix": "acme/devices/SN-1/"});
    assert_eq!((&device["tenant_id"], &device["device_id"], &device["mqtt"]), (&json!("acme"), &json!("SN-1"), &mqtt));
    assert!(DeviceToken::parse(device["token"].as_str().unwrap()).is_some());
    let history = api.history("SN-1").await;
    assert_eq!(types(&history), ["device.registered", "device.credential_issued"]);
    let profile = &history[0]["event"]["profile"];
    assert_eq!((&profile["tags"], &profile["device_model"]), (&json!({"batch": "24-07"}), &json!(MODEL)));
    assert_eq!(history[0]["event"]["versions"], json!({"firmware": "1.0.0"}));
    assert_eq!(history[1]["actor"], format!("registration-token:{token_id}"));
    assert_eq!(history[1]["event"]["registration_token"], token_id.as_str());
    let token = api.token(&token_id).await;
    let shown = (&token["status"], &token["devices_used"], &token["devices_max"], &token["created_by"]);
    assert_eq!(shown, (&json!("active"), &json!(1), &json!(100), &json!("user:42")));
    let listed = api.get("/devices/SN-1/credentials").await.body;
    assert_eq!(listed["items"][0]["credential_id"], device["credential_id"]);
}

#[tokio::test]
async fn a_device_shows_its_tokens_in_the_schemes_of_hawkbit() {
    let api = Api::new();
    let (devices, token_id) = api.devices(json!({})).await;
    let with = async |authorization: String, path: &str, body: Value| {
        let request = Request::post(format!("/api/v1{path}"))
            .header("Authorization", authorization)
            .header("Content-Type", "application/json");
        api.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let answer = with(format!("GatewayToken {}", devices.token), PATH, described("SN-1")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let credential = answer.body["token"].as_str().unwrap().to_owned();
    assert_eq!(api.token(&token_id).await["devices_used"], 1);
    // The credential registers nobody, and neither opens what people and programs use.
    let stored = api.stored().await;
    assert_eq!(with(format!("TargetToken {credential}"), PATH, described("SN-2")).await.status, 401);
    for shown in [format!("GatewayToken {}", devices.token), format!("TargetToken {credential}")] {
        let refused = with(shown.clone(), "/devices", json!({"device_id": "SN-3"})).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (401, "unauthorized"), "{shown}");
        assert_eq!(refused.body["detail"], "tokens of devices don't open the API");
    }
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn registration_tokens_are_listed_by_states_that_there_are() {
    let api = Api::new();
    for wrong in ["?status=open", "?state=active", "?status=Active", "?cursor=x", "?limit=0"] {
        assert_eq!(api.get(&format!("/registration-tokens{wrong}")).await.status, 400, "{wrong}");
    }
    // The list is a read.
    let away = api.get("/registration-tokens?status=used_up&device_model=M").await;
    assert_eq!(away.status, 503, "{}", away.body);
}

#[tokio::test]
async fn a_device_that_lost_its_token_comes_again_and_counts_once() {
    let api = Api::new();
    let (devices, token_id) = api.devices(json!({"devices_max": 1})).await;
    let mut ids = vec![];
    for _ in 0..3 {
        ids.push(registered(&devices, "SN-1").await["credential_id"].clone());
    }
    let listed = api.get("/devices/SN-1/credentials").await.body;
    let live: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["credential_id"]).collect();
    assert_eq!(live, [&ids[1], &ids[2]], "of two live ones the older one is replaced");
    let token = api.token(&token_id).await;
    assert_eq!((&token["devices_used"], &token["status"]), (&json!(1), &json!("used_up")));
    let history = api.history("SN-1").await;
    assert_eq!(types(&history)[3..], ["device.credential_revoked", "device.credential_issued"]);
}

#[tokio::test]
async fn a_device_that_an_operator_registered_gets_its_first_credential() {
    let api = Api::new();
    api.device("d-1").await;
    let (devices, _) = api.devices(json!({"device_model": MODEL, "tags": {"batch": "x"}})).await;
    let other = json!({"device_id": "d-1", "device_model": "another", "name": "mine"});
    assert_eq!(devices.post(PATH, other).await.status, 201, "its known model counts");
    assert_eq!(types(&api.history("d-1").await), ["device.registered", "device.credential_issued"]);
}

/// A token that has expired by now.
async fn expired(api: &Api) -> Api {
    let (tenant, id) = (TenantId::new("acme").unwrap(), RegistrationTokenId(clock::new_id()));
    let token = trust::RegistrationToken::generate(tenant.clone(), id);
    let expires_at = clock::now() - TimeDelta::hours(1);
    let terms = RegistrationTerms { scope: RegistrationScope::default(), expires_at, devices_max: 9 };
    let command = RegistrationTokenCommand::Issue { hash: api.app.config.token_hasher.hash(&token), terms };
    let request = event_store::Request {
        now: expires_at - TimeDelta::days(1),
        ..event_store::Request::new(CommandId(clock::new_id()), Actor::new("user:42").unwrap(), command)
    };
    api.store.execute(&Key::<RegistrationToken>::new(&tenant, &id), request).await.unwrap();
    api.bearing(token.as_ref().reveal())
}

#[tokio::test]
async fn every_refused_device_gets_the_same_answer_and_leaves_nothing() {
    let api = Api::new();
    for id in ["gone", "owned"] {
        api.device(id).await;
    }
    api.call(Method::DELETE, "/devices/gone", &[], json!({"reason": "sold"})).await;
    api.post("/devices/owned/credentials", json!({})).await;
    let (any, _) = api.devices(json!({})).await;
    let (revoked, revoked_id) = api.devices(json!({})).await;
    let revocation = api.call(Method::DELETE, &format!("/registration-tokens/{revoked_id}"), &[], Value::Null).await;
    assert_eq!((revocation.status.as_u16(), &revocation.body["status"]), (200, &json!("revoked")));
    let (full, _) = api.devices(json!({"devices_max": 1})).await;
    registered(&full, "SN-1").await;
    let (of_model, _) = api.devices(json!({"device_model": "other"})).await;
    let (of_type, _) = api.devices(json!({"device_type": "other"})).await;
    let (of_prefix, _) = api.devices(json!({"id_prefix": "SN-2-"})).await;
    let old = expired(&api).await;
    let mut abroad = described("SN-9");
    abroad["tenant_id"] = json!("rival");
    let stored = api.stored().await;
    let mut answers = vec![];
    for (devices, body) in [
        (&any, described("gone")),
        (&any, described("owned")),
        (&any, described("SN-1")),
        (&any, abroad),
        (&revoked, described("SN-9")),
        (&full, described("SN-9")),
        (&of_model, described("SN-9")),
        (&of_type, described("SN-9")),
        (&of_prefix, described("SN-9")),
        (&old, described("SN-9")),
    ] {
        let answer = devices.post(PATH, body.clone()).await;
        assert_eq!(answer.status, 403, "{body}: {}", answer.body);
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(api.stored().await, stored);
    registered(&full, "SN-1").await;
}

#[tokio::test]
async fn who_has_no_valid_registration_token_is_not_heard() {
    let api = Api::new();
    let (devices, _) = api.devices(json!({})).await;
    let valid = devices.token.clone();
    let (start, random) = valid.split_at(valid.len() - 43);
    let other_random = DeviceToken::generate().as_ref().reveal()[4..].to_owned();
    let stored = api.stored().await;
    for wrong in [
        format!("{start}{other_random}"),
        valid.replace("wbr_acme_", "wbr_rival_"),
        format!("wbr_acme_{}_{random}", "0".repeat(32)),
        format!("{valid}x"),
        DeviceToken::generate().as_ref().reveal().to_owned(),
        api.token.clone(),
        format!("wbr_{random}"),
    ] {
        let answer = api.bearing(&wrong).post(PATH, described("SN-1")).await;
        let told = (answer.status.as_u16(), answer.problem(), answer.header("www-authenticate"));
        assert_eq!(told, (401, "unauthorized", "Bearer"), "{wrong}");
        assert!(!answer.body.to_string().contains(&wrong), "{}", answer.body);
    }
    for header in ["", "Basic eDp5", &valid, &format!("TargetToken {valid}"), &format!("Basic {valid}")] {
        let request = Request::post(format!("/api/v1{PATH}")).header("Authorization", header);
        assert_eq!(api.send(request.body(Body::from("{}")).unwrap()).await.status, 401, "{header}");
    }
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn a_device_names_what_is_wrong_in_its_description_and_chooses_no_tags() {
    let api = Api::new();
    let (devices, _) = api.devices(json!({})).await;
    let stored = api.stored().await;
    for (field, value) in [
        ("device_id", json!("a.b")),
        ("device_id", json!("bulk")),
        ("tags", json!({"ring": "beta"})),
        ("lorawan_dev_eui", json!("0102030405060708")),
        ("timezone", json!("Mars/X")),
        ("firmware_version", json!("")),
        ("name", json!("")),
    ] {
        let mut body = described("SN-1");
        body[field] = value;
        let answer = devices.post(PATH, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(field), "{}", answer.body);
    }
    assert_eq!(devices.post(PATH, json!({"name": "x".repeat(70_000)})).await.status, 413);
    assert_eq!(devices.post(PATH, json!({})).await.body["errors"][0]["field"], "device_id");
    assert_eq!(api.stored().await, stored);
}

#[tokio::test]
async fn terms_out_of_bounds_name_their_field() {
    let api = Api::new();
    let in_days = |days| (clock::now() + TimeDelta::days(days)).to_rfc3339();
    let tags: serde_json::Map<String, Value> = (0..65).map(|number| (format!("t{number}"), json!("x"))).collect();
    for (field, value) in [
        ("devices_max", json!(0)),
        ("devices_max", json!(100_001)),
        ("devices_max", Value::Null),
        ("expires_at", json!(in_days(367))),
        ("expires_at", json!(in_days(-1))),
        ("id_prefix", json!("a.b")),
        ("device_model", json!("")),
        ("tags", json!(tags)),
        ("scope", json!({})),
    ] {
        let mut body = json!({"devices_max": 1});
        body[field] = value;
        let answer = api.post("/registration-tokens", body.clone()).await;
        let told = (answer.status.as_u16(), &answer.body["errors"][0]["field"]);
        assert_eq!(told, (422, &json!(field)), "{body}: {}", answer.body);
    }
    let (_, id) = api.devices(json!({})).await;
    let token = api.token(&id).await;
    let [created, expires] = ["created_at", "expires_at"]
        .map(|field| token[field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    // The end is computed a moment before the token is issued.
    assert_eq!((expires - created + TimeDelta::minutes(1)).num_days(), 30);
    assert_eq!(api.stored().await, 1);
}

#[tokio::test]
async fn a_registration_token_is_shown_once_and_belongs_to_its_key() {
    let api = Api::new();
    let send = async |body: Value| api.call(Method::POST, "/registration-tokens", &KEY, body).await;
    let told = |answer: &Answer| (answer.status.as_u16(), answer.problem().to_owned());
    let first = send(json!({"devices_max": 1})).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let again = send(json!({"devices_max": 1})).await;
    assert_eq!(told(&again), (409, "token_shown".to_owned()));
    assert_eq!(again.body["facts"]["token_id"], first.body["token_id"]);
    assert_eq!(told(&send(json!({"devices_max": 2})).await), (422, "idempotency_key_reused".to_owned()));
    let path = format!("/registration-tokens/{}", first.body["token_id"].as_str().unwrap());
    let revoke = async |reason: &str| api.call(Method::DELETE, &path, &KEY, json!({"reason": reason})).await;
    let revoked = revoke("stolen").await;
    assert_eq!((revoked.status.as_u16(), revoke("stolen").await.status.as_u16()), (200, 200));
    assert_eq!(told(&revoke("lost").await), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(api.stored().await, 2);
    let unknown = "/registration-tokens/00000000-0000-0000-0000-000000000001";
    for method in [Method::GET, Method::DELETE] {
        let answer = api.call(method, unknown, &[], Value::Null).await;
        assert_eq!(told(&answer), (404, "registration_token_unknown".to_owned()));
    }
}

#[tokio::test]
async fn many_devices_register_with_one_token_at_once() {
    let api = Api::new();
    let (devices, token_id) = api.devices(json!({"devices_max": 30})).await;
    let ids: Vec<String> = (0..40).map(|number| format!("SN-{number}")).collect();
    let answers = join_all(ids.iter().map(|id| devices.post(PATH, described(id)))).await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(201), with(403)), (30, 10));
    assert_eq!(api.token(&token_id).await["devices_used"], 30);
}

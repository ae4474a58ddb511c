//! Requests that were begun with a credential and are completed after it has ended.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, header};
use futures::SinkExt;
use futures::channel::mpsc::{self, Sender};
use serde_json::{Value, json};

use super::{Answer, Api, MODEL, PATIENCE, token};
use crate::access::LOOKED_AT_EVERY;
use crate::caller::Role;

/// Time between the parts of a body. It is the behaviour itself: the admission is checked again after [`LOOKED_AT_EVERY`].
const MEANWHILE: Duration = LOOKED_AT_EVERY.saturating_add(Duration::from_millis(50));

type Parts = Sender<Result<String, std::io::Error>>;

/// Sends the first part of a body, waits for `meanwhile`, and sends the second part some time later. If that is empty, only the end comes later.
async fn sent_in_two(
    api: &Api,
    path: &str,
    content_type: &str,
    parts: [&str; 2],
    meanwhile: impl Future<Output = ()>,
) -> Answer {
    let (mut sender, body): (Parts, _) = mpsc::channel(0);
    let request = Request::post(format!("/api/v1{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", api.token))
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from_stream(body))
        .unwrap();
    let send = async {
        sender.send(Ok(parts[0].to_owned())).await.unwrap();
        meanwhile.await;
        tokio::time::sleep(MEANWHILE).await;
        if !parts[1].is_empty() {
            // The service may have ended the request.
            drop(sender.send(Ok(parts[1].to_owned())).await);
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(tokio::time::timeout(PATIENCE, api.send(request)), send);
    answer.expect("an answer")
}

const ISSUE: [&str; 2] = ["{\"roles\": [\"vie", "wer\"]}"];
/// All of the body, whose end comes later.
const WITHOUT_END: [&str; 2] = ["{\"roles\": [\"viewer\"]}", ""];

async fn keys(api: &Api) -> usize {
    api.get("/api-keys").await.body["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_request_is_not_completed_with_a_key_that_was_revoked_meanwhile() {
    let api = Api::new().follows_keys().await;
    let issued = api.post("/api-keys", json!({"roles": ["admin"]})).await.body;
    let text = |field: &str| issued[field].as_str().unwrap().to_owned();
    let holder = api.bearing(text("token"));
    let late = sent_in_two(&holder, "/api-keys", "application/json", ISSUE, async {}).await;
    assert_eq!(late.status, 201, "a caller with a valid key may be slow: {}", late.body);
    let late = sent_in_two(&holder, "/api-keys", "application/json", WITHOUT_END, async {}).await;
    assert_eq!(late.status, 201, "{}", late.body);
    let revoke = async {
        let path = format!("/api-keys/{}", text("key_id"));
        assert_eq!(api.call(Method::DELETE, &path, &[], json!({"reason": "leaked"})).await.status, 200);
    };
    let stored = keys(&api).await;
    let late = sent_in_two(&holder, "/api-keys", "application/json", ISSUE, revoke).await;
    assert_eq!((late.status.as_u16(), late.problem()), (401, "unauthorized"), "{}", late.body);
    assert_eq!(keys(&api).await, stored);
}

#[tokio::test]
async fn a_request_of_which_only_the_end_is_missing_is_not_completed_with_a_revoked_key() {
    let api = Api::new().follows_keys().await;
    let issued = api.post("/api-keys", json!({"roles": ["admin"]})).await.body;
    let text = |field: &str| issued[field].as_str().unwrap().to_owned();
    let holder = api.bearing(text("token"));
    let stored = keys(&api).await;
    let revoke = async {
        let path = format!("/api-keys/{}", text("key_id"));
        assert_eq!(api.call(Method::DELETE, &path, &[], json!({"reason": "leaked"})).await.status, 200);
    };
    let late = sent_in_two(&holder, "/api-keys", "application/json", WITHOUT_END, revoke).await;
    assert_eq!((late.status.as_u16(), late.problem()), (401, "unauthorized"), "{}", late.body);
    assert_eq!(keys(&api).await, stored);
}

#[tokio::test]
async fn nothing_is_kept_of_an_upload_into_a_tenant_that_was_closed_meanwhile() {
    let api = Api::with_config(|config| config.upload_silence_max = PATIENCE);
    let part = |name: &str| format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
    let metadata = json!({"name": "F", "version": "2.0.0", "device_model": MODEL});
    let first = format!("{}{metadata}\r\n{}abc", part("metadata"), part("file"));
    let close = async {
        let platform = api.bearing(token("default", Role::PlatformAdmin));
        let closed = platform.call(Method::DELETE, "/tenants/acme", &[], json!({"reason": "over"})).await;
        assert_eq!(closed.status, 200, "{}", closed.body);
    };
    let form = "multipart/form-data; boundary=XX";
    let late = sent_in_two(&api, "/firmware", form, [&first, "def\r\n--XX--\r\n"], close).await;
    assert_eq!((late.status.as_u16(), late.problem()), (403, "tenant_closed"), "{}", late.body);
    assert!(api.kept().await.is_empty(), "{:?}", api.kept().await);
}

#[tokio::test]
async fn a_request_is_not_completed_with_a_role_that_was_taken_away_meanwhile() {
    let api = Api::new();
    let member =
        |grants: Value| api.call(Method::PUT, "/members/user:7", &[], json!({"grants": grants, "reason": "x"}));
    assert_eq!(member(json!([{"role": "operator"}])).await.status, 200);
    let operator = api.acting(domain::ActorKind::Person, "7", Role::Auditor);
    let take_away = async {
        assert_eq!(member(json!([{"role": "viewer"}])).await.status, 200);
    };
    let device = [r#"{"device_id": "d-late", "#, r#""device_model": "M"}"#];
    let late = sent_in_two(&operator, "/devices", "application/json", device, take_away).await;
    assert_eq!((late.status.as_u16(), late.problem()), (403, "forbidden"), "{}", late.body);
    assert_eq!(api.get("/devices/d-late/history").await.status, 404);
}

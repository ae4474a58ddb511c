//! Sessions that begin with a token or an API key.

use axum::http::header;
use chrono::TimeDelta;
use domain::{ActorKind, TenantId};
use runtime::clock;
use serde_json::{Value, json};

use super::{Browser, ORIGIN, OWN, SESSION, Service, device, told};
use crate::caller::Role;
use crate::sessions::SessionLimits;
use crate::sign_in::SignInConfig;
use crate::tests::{Api, token, token_rules};
use crate::tokens::Tokens;

impl Service {
    /// A service without an OpenID provider.
    async fn without_provider() -> Self {
        Self::over(SignInConfig::without_provider(ORIGIN.to_owned(), SessionLimits::default()), None).await
    }

    /// Begins a session with a token.
    async fn opens(&self, browser: &mut Browser, token: &str) -> super::Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let answer = self.send("POST", "/api/v1/auth/session", browser, &headers, Value::Null).await;
        browser.keeps(&answer);
        answer
    }
}

#[tokio::test]
async fn a_token_begins_a_session_that_ends_with_it() {
    let service = Service::without_provider().await;
    let mut browser = Browser::default();
    let opened = service.opens(&mut browser, &token("acme", Role::Operator)).await;
    assert_eq!((opened.status.as_u16(), &opened.body["actor"]), (201, &json!("user:42")), "{}", opened.body);
    let cookie = opened.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with(&format!("{SESSION}=wbs_")) && cookie.contains("; HttpOnly;"), "{cookie}");
    let session = service.get("/api/v1/auth/session", &browser).await;
    assert_eq!((&session.body["tenant_id"], &session.body["roles"]), (&json!("acme"), &json!(["operator"])));
    let end: chrono::DateTime<chrono::Utc> = serde_json::from_value(session.body["expires_at"].clone()).unwrap();
    assert!(end <= clock::now() + TimeDelta::minutes(5), "the token ends before a session does: {end}");

    let refused = service.send("POST", "/api/v1/devices", &browser, &[], device("d-1")).await;
    assert_eq!(told(&refused), (403, "cross_origin"));
    assert_eq!(service.send("POST", "/api/v1/devices", &browser, &[OWN], device("d-1")).await.status, 201);
    let before = browser.clone();
    assert_eq!(service.opens(&mut browser, &token("acme", Role::Viewer)).await.status, 201);
    assert_eq!(service.get("/api/v1/auth/session", &before).await.status, 401, "the browser's session before ends");
    let out = service.send("POST", "/api/v1/auth/sign-out", &browser, &[OWN], Value::Null).await;
    assert_eq!((out.status.as_u16(), &out.body["end_session_url"]), (200, &Value::Null));
}

#[tokio::test]
async fn a_session_ends_when_its_api_key_is_revoked() {
    let service = Service::without_provider().await;
    let api = service.api.bearing(token("acme", Role::Admin)).follows_keys().await;
    let issued = api.post("/api-keys", json!({"roles": ["approver"]})).await;
    let (id, key) = (issued.body["key_id"].as_str().unwrap(), issued.body["token"].as_str().unwrap());
    let mut browser = Browser::default();
    assert_eq!(service.opens(&mut browser, key).await.status, 201);
    let session = service.get("/api/v1/auth/session", &browser).await;
    assert_eq!(session.body["actor"], json!(format!("key:{id}")), "a key is no person");
    api.call(axum::http::Method::DELETE, &format!("/api-keys/{id}"), &[], json!({"reason": "lost"})).await;
    assert_eq!(service.get("/api/v1/auth/session", &browser).await.status, 401);
    assert_eq!(service.get("/api/v1/devices", &browser).await.status, 401);
}

#[tokio::test]
async fn a_session_says_that_it_ends_with_its_api_key() {
    let service = Service::without_provider().await;
    let api = service.api.bearing(token("acme", Role::Admin)).follows_keys().await;
    let key_ends_at = clock::now() + TimeDelta::minutes(5);
    let issued = api.post("/api-keys", json!({"roles": ["viewer"], "expires_at": key_ends_at})).await;
    let mut browser = Browser::default();
    let opened = service.opens(&mut browser, issued.body["token"].as_str().unwrap()).await;
    assert_eq!(opened.status, 201, "{}", opened.body);
    let session = service.get("/api/v1/auth/session", &browser).await;
    let end: chrono::DateTime<chrono::Utc> = serde_json::from_value(session.body["expires_at"].clone()).unwrap();
    assert!(end <= key_ends_at, "{end} is after {key_ends_at}");
}

#[tokio::test]
async fn nothing_begins_without_a_valid_token() {
    let service = Service::without_provider().await;
    service.api.bearing(token("acme", Role::Admin)).follows_keys().await;
    let mut browser = Browser::default();
    let none = service.send("POST", "/api/v1/auth/session", &browser, &[OWN], Value::Null).await;
    assert_eq!(told(&none), (401, "unauthorized"));
    let expired = Tokens::new(&token_rules()).sign_as(
        ActorKind::Person,
        "42",
        &TenantId::new("acme").unwrap(),
        vec![Role::Admin],
        clock::now() - TimeDelta::hours(1),
    );
    for wrong in ["x", "wbk_acme_0_x", "wbs_x", "wbd_x", &expired.unwrap()] {
        assert_eq!(service.opens(&mut browser, wrong).await.status, 401, "{wrong}");
    }
    assert_eq!(service.opens(&mut browser, &token("nowhere", Role::Admin)).await.status, 403);
    assert!(browser.0.is_empty(), "{browser:?}");
}

#[tokio::test]
async fn a_service_says_how_people_can_sign_in() {
    let service = Service::without_provider().await;
    let ways = service.get("/api/v1/auth/sign-in-ways", &Browser::default()).await;
    assert_eq!(ways.body, json!({"openid": false, "session": true, "development": true, "shows_session": false}));
    assert_eq!(service.get("/api/v1/auth/sign-in", &Browser::default()).await.status, 404);
    let ways = Api::new().get("/auth/sign-in-ways").await;
    assert_eq!(ways.body, json!({"openid": false, "session": false, "development": true, "shows_session": false}));
    let closed = Api::new().post("/auth/session", Value::Null).await;
    assert_eq!(told(&closed), (404, "not_found"));
}

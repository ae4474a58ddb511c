//! API keys: who gets one, what it opens, and when it opens nothing any more.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use domain::api_key::{ApiKey, ApiKeyCommand, ApiKeyTerms};
use domain::{Actor, ActorKind, ApiKeyId, CommandId, Key, TenantId};
use object_store::memory::InMemory;
use runtime::clock;
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use trust::TokenHasher;

use super::{Answer, Api, PATIENCE, token};
use crate::caller::Role;

impl Api {
    /// Issues a key; returns its id and its text.
    async fn key(&self, more: Value) -> (String, String) {
        let mut body = json!({"roles": ["operator"]});
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let issued = self.post("/api-keys", body).await;
        assert_eq!((issued.status.as_u16(), issued.header("cache-control")), (201, "no-store"), "{}", issued.body);
        let text = |field: &str| issued.body[field].as_str().unwrap().to_owned();
        assert_eq!(issued.header("location"), format!("/api/v1/api-keys/{}", text("key_id")));
        (text("key_id"), text("token"))
    }

    /// The service has caught up with the keys.
    pub(super) async fn follows_keys(self) -> Self {
        let known = self.app.known_keys().unwrap();
        super::until("keys are followed", async || known.current().is_ok(), |is_current| *is_current).await;
        self
    }

    /// A request with these headers and no others.
    async fn showing(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(format!("/api/v1{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn revoke_key(&self, id: &str) -> Answer {
        self.call(Method::DELETE, &format!("/api-keys/{id}"), &[], json!({"reason": "lost"})).await
    }
}

async fn api() -> Api {
    Api::new().follows_keys().await
}

fn detail(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["detail"].as_str().unwrap_or_default())
}

/// A route that any role may use and that needs no read model.
const CHECK: &str = "/devices/nobody/credentials";

/// What a key that lets its holder in gets there.
const IN: u16 = 404;

#[tokio::test]
async fn a_key_does_what_its_roles_allow_in_its_own_name() {
    let api = api().await;
    let (id, key) = api.key(json!({"label": "CI"})).await;
    let program = api.bearing(key.as_str());
    program.device("d-1").await;
    let history = api.get("/devices/d-1/history").await.body;
    assert_eq!(history["items"][0]["actor"], format!("key:{id}"));
    let refused = program.post("/api-keys", json!({"roles": ["viewer"]})).await;
    assert_eq!(detail(&refused), (403, "this needs the role admin"));
    let caller = api.app.known_keys().unwrap().verify(&api.app.config.token_hasher, &key).unwrap().caller;
    assert_eq!((caller.kind(), caller.is_kind_stated), (ActorKind::Key, true));
    assert!(caller.person().is_err(), "it can't approve");
}

#[tokio::test]
async fn a_key_is_shown_in_one_header_or_the_other() {
    let api = api().await;
    let (_, key) = api.key(json!({})).await;
    let (_, other) = api.key(json!({})).await;
    let (bearer, other_bearer) = (format!("Bearer {key}"), format!("Bearer {other}"));
    let jwt = token("acme", Role::Admin);
    for headers in [
        &[("x-api-key", key.as_str())][..],
        &[("authorization", bearer.as_str())],
        &[("x-api-key", key.as_str()), ("authorization", bearer.as_str())],
    ] {
        assert_eq!(api.showing(CHECK, headers).await.status.as_u16(), IN, "{headers:?}");
    }
    let differ = (400, "X-API-Key and Authorization differ: give one of them");
    for authorization in [other_bearer.as_str(), "Basic abc", &format!("Bearer {jwt}")] {
        let headers = [("x-api-key", key.as_str()), ("authorization", authorization)];
        assert_eq!(detail(&api.showing(CHECK, &headers).await), differ, "{authorization}");
    }
    let twice = api.showing(CHECK, &[("x-api-key", &key), ("x-api-key", &key)]).await;
    assert_eq!(twice.status, 400, "{}", twice.body);
    let twice = [("authorization", bearer.as_str()), ("authorization", other_bearer.as_str())];
    assert_eq!(api.showing(CHECK, &twice).await.status, 400);
    let wrong_place = api.showing(CHECK, &[("x-api-key", &jwt)]).await;
    assert_eq!(detail(&wrong_place), (401, "X-API-Key takes an API key: wbk_…"));
    assert_eq!(api.showing(CHECK, &[]).await.status, 401);
}

#[tokio::test]
async fn an_unknown_key_is_refused_like_a_wrong_one() {
    let api = api().await;
    let (_, key) = api.key(json!({})).await;
    let unknown = trust::ApiKey::generate(TenantId::new("acme").unwrap(), ApiKeyId(clock::new_id()));
    let known = trust::ApiKey::parse(&key).unwrap();
    let wrong = trust::ApiKey::generate(known.tenant.clone(), known.id);
    let moved = key.replace("wbk_acme_", "wbk_globex_");
    for text in [unknown.as_ref().reveal(), wrong.as_ref().reveal(), moved.as_str(), "wbk_x", &key[..key.len() - 1]] {
        let refused = api.bearing(text).get(CHECK).await;
        assert_eq!(detail(&refused), (401, "the API key is not valid: it is not known"), "{text}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_the_next_request() {
    let api = api().await;
    for _ in 0..20 {
        let (id, key) = api.key(json!({})).await;
        let program = api.bearing(key);
        assert_eq!(program.get(CHECK).await.status.as_u16(), IN, "known as soon as it is issued");
        let revoked = api.revoke_key(&id).await;
        assert_eq!((revoked.status.as_u16(), &revoked.body["status"]), (200, &json!("revoked")), "{}", revoked.body);
        assert_eq!(detail(&program.get(CHECK).await), (401, "the API key is not valid: it is revoked"));
        assert_eq!(api.revoke_key(&id).await.status, 200, "it is true already");
    }
    assert_eq!(api.revoke_key(&clock::new_id().to_string()).await.problem(), "api_key_unknown");
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let api = api().await;
    let (tenant, id) = (TenantId::new("acme").unwrap(), ApiKeyId(clock::new_id()));
    let key = trust::ApiKey::generate(tenant.clone(), id);
    let expires_at = clock::now() - TimeDelta::hours(1);
    let roles = ["operator".to_owned(), "role_of_tomorrow".to_owned()].into_iter().collect();
    let terms = ApiKeyTerms { roles, label: None, expires_at: Some(expires_at) };
    let command = ApiKeyCommand::Issue { hash: api.app.config.token_hasher.hash(&key), terms };
    let request = event_store::Request {
        now: expires_at - TimeDelta::days(1),
        ..event_store::Request::new(CommandId(clock::new_id()), Actor::new("user:42").unwrap(), command)
    };
    let position = api.store.execute(&Key::<ApiKey>::new(&tenant, &id), request).await.unwrap().position;
    api.app.known_keys().unwrap().current().unwrap().reached(position, PATIENCE).await.unwrap();
    let refused = api.bearing(key.as_ref().reveal()).get(CHECK).await;
    assert_eq!(detail(&refused), (401, "the API key is not valid: it has expired"));
    let shown = api.get(&format!("/api-keys/{id}")).await.body;
    assert_eq!((&shown["status"], &shown["roles"]), (&json!("expired"), &json!(["operator", "role_of_tomorrow"])));
}

#[tokio::test]
async fn a_key_opens_its_own_tenant_alone() {
    let api = api().await;
    let (id, key) = api.key(json!({"roles": ["admin"]})).await;
    let program = api.bearing(key);
    let inside = program.get("/tenants/acme/devices/nobody/credentials").await;
    assert_eq!(detail(&inside), (IN, detail(&program.get(CHECK).await).1));
    assert_ne!(detail(&inside).1, "you have no such tenant");
    assert_eq!(
        detail(&program.get("/tenants/globex/devices/nobody/credentials").await),
        (404, "you have no such tenant")
    );
    let globex = api.bearing(token("globex", Role::Admin));
    assert_eq!(globex.get(&format!("/api-keys/{id}")).await.problem(), "api_key_unknown");
    assert_eq!(globex.revoke_key(&id).await.problem(), "api_key_unknown");
    assert_eq!(globex.get("/api-keys").await.body["items"], json!([]));
}

#[tokio::test]
async fn only_admins_issue_keys_and_only_with_roles_that_they_have() {
    let api = api().await;
    let operator = api.bearing(token("acme", Role::Operator));
    assert_eq!(operator.post("/api-keys", json!({"roles": ["viewer"]})).await.status, 403);
    assert_eq!(operator.get("/api-keys").await.status, 403);
    for wrong in [
        json!({"roles": ["platform_admin"]}),
        json!({"roles": []}),
        json!({"roles": ["root"]}),
        json!({"roles": ["viewer"], "label": ""}),
        json!({"roles": ["viewer"], "expires_at": "2020-01-01T00:00:00Z"}),
        json!({}),
    ] {
        let refused = api.post("/api-keys", wrong.clone()).await;
        assert_eq!(refused.status, 422, "{wrong}: {}", refused.body);
    }
    assert_eq!(api.get("/api-keys").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_repeated_request_shows_no_key_and_a_dry_run_makes_none() {
    let api = api().await;
    let body = || json!({"roles": ["viewer"]});
    let dry = api.post("/api-keys?dry_run=true", body()).await;
    assert_eq!((dry.status.as_u16(), &dry.body["token"], api.stored().await), (200, &Value::Null, 0), "{}", dry.body);
    let headers = [("idempotency-key", "k")];
    let first = api.call(Method::POST, "/api-keys", &headers, body()).await;
    assert_eq!(first.status, 201);
    let again = api.call(Method::POST, "/api-keys", &headers, body()).await;
    assert_eq!((again.status.as_u16(), again.problem()), (409, "token_shown"));
    assert_eq!((&again.body["facts"]["key_id"], api.stored().await), (&first.body["key_id"], 1));
    let other = api.call(Method::POST, "/api-keys", &headers, json!({"roles": ["operator"]})).await;
    assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency_key_reused"));
    let path = format!("/api-keys/{}", first.body["key_id"].as_str().unwrap());
    let revoke = async |reason: &str| api.call(Method::DELETE, &path, &headers, json!({"reason": reason})).await;
    let (first, again, other) = (revoke("lost").await, revoke("lost").await, revoke("found").await);
    assert_eq!((first.status.as_u16(), &first.body["position"]), (200, &again.body["position"]), "{}", again.body);
    assert_eq!((other.problem(), api.stored().await), ("idempotency_key_reused", 2));
}

#[tokio::test]
async fn the_idempotency_keys_of_an_api_key_are_its_own() {
    let api = api().await;
    let programs = [api.bearing(api.key(json!({})).await.1), api.bearing(api.key(json!({})).await.1)];
    let headers = [("idempotency-key", "k")];
    let register = async |program: &Api, device: &str| {
        program.call(Method::POST, "/devices", &headers, json!({"device_id": device})).await.status.as_u16()
    };
    assert_eq!((register(&programs[0], "d-1").await, register(&programs[1], "d-2").await), (201, 201));
    let stored = api.stored().await;
    assert_eq!(register(&programs[0], "d-1").await, 201, "the same request again");
    assert_eq!((register(&programs[0], "d-3").await, api.stored().await), (422, stored));
}

#[tokio::test]
async fn keys_are_listed_in_pages_with_their_last_use_and_without_their_secrets() {
    let api = api().await;
    let mut issued = vec![];
    for label in ["one", "two", "three"] {
        issued.push(api.key(json!({"label": label, "expires_at": clock::now() + TimeDelta::days(9)})).await);
    }
    api.bearing(issued[1].1.as_str()).get(CHECK).await;
    api.revoke_key(&issued[2].0).await;
    let first = api.get("/api-keys?limit=2&count=true").await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/api-keys?limit=2&count=true&cursor={cursor}")).await.body;
    assert_eq!((&first["total"], &second["next_cursor"]), (&json!(3), &Value::Null));
    let items: Vec<&Value> = [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap()).collect();
    let shown = |field: &str| items.iter().map(|item| item[field].clone()).collect::<Vec<_>>();
    assert_eq!(shown("key_id"), issued.iter().map(|(id, _)| json!(id)).collect::<Vec<_>>());
    assert_eq!(
        (shown("label"), shown("status")),
        (vec![json!("one"), json!("two"), json!("three")], vec![json!("active"), json!("active"), json!("revoked")])
    );
    let used: Vec<bool> = items.iter().map(|item| item["last_used_at"].is_string()).collect();
    assert_eq!(used, [false, true, false]);
    for (item, (_, key)) in items.iter().zip(&issued) {
        let prefix = item["prefix"].as_str().unwrap();
        assert!(key.starts_with(prefix) && prefix.len() == "wbk_acme_".len() + 12, "{prefix}");
        assert_eq!((&item["created_by"], &item["roles"]), (&json!("user:42"), &json!(["operator"])));
        let hash = String::from(api.app.config.token_hasher.hash(&trust::ApiKey::parse(key).unwrap()));
        let one = api.get(&format!("/api-keys/{}", item["key_id"].as_str().unwrap())).await.body;
        assert_eq!(&&one, item, "one by one they look the same");
        assert!(!one.to_string().contains(&hash) && !one.to_string().contains(key.as_str()));
    }
}

/// What another service learns about a token.
async fn learns(asker: &Api, path: &str, field: &str, text: &str) -> Value {
    let answer = asker.post(path, json!({field: text})).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"), "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_service_of_the_house_learns_whose_key_it_is_shown() {
    let api = api().await;
    let expires_at = clock::now() + TimeDelta::days(9);
    let (id, key) = api.key(json!({"expires_at": expires_at})).await;
    let path = "/auth/verify-api-key";
    let known = learns(&api, path, "api_key", &key).await;
    let wanted = json!({
        "valid": true, "tenant_id": "acme", "actor": format!("key:{id}"), "kind": "key", "roles": ["operator"], "expires_at": expires_at,
    });
    assert_eq!(known, wanted);
    let service = api.acting(ActorKind::Service, "fleet-ui", Role::Viewer);
    assert_eq!(learns(&service, path, "api_key", &key).await, wanted);
    let globex = api.bearing(token("globex", Role::Admin));
    assert_eq!(learns(&globex, path, "api_key", &key).await, json!({"valid": false}), "nothing else is said");
    api.revoke_key(&id).await;
    assert_eq!(learns(&globex, path, "api_key", &key).await, json!({"valid": false}));
    let revoked = learns(&api, path, "api_key", &key).await;
    assert_eq!(revoked, json!({"valid": false, "reason": "the API key is not valid: it is revoked"}));
    for nosy in [api.bearing(token("acme", Role::Approver)), api.acting(ActorKind::Person, "7", Role::Viewer)] {
        assert_eq!(nosy.post(path, json!({"api_key": key})).await.status, 403);
    }
}

#[tokio::test]
async fn a_service_of_the_house_learns_whose_token_it_is_shown() {
    let api = api().await;
    let path = "/auth/verify-token";
    let valid = learns(&api, path, "token", &token("acme", Role::Operator)).await;
    let shown = (&valid["valid"], &valid["actor"], &valid["kind"], &valid["roles"], &valid["tenant_id"]);
    assert_eq!(shown, (&json!(true), &json!("user:42"), &json!("person"), &json!(["operator"]), &json!("acme")));
    assert!(valid["expires_at"].is_string(), "{valid}");
    let sign = |tenant: &str, minutes| {
        let (tenant, at) = (TenantId::new(tenant).unwrap(), clock::now() + TimeDelta::minutes(minutes));
        api.app.tokens.sign("42", &tenant, vec![Role::Viewer], at).unwrap()
    };
    let expired = learns(&api, path, "token", &sign("acme", -9)).await;
    assert_eq!(expired, json!({"valid": false, "reason": "the token is not valid: it has expired"}));
    for foreign in [sign("globex", 9), sign("globex", -9)] {
        assert_eq!(learns(&api, path, "token", &foreign).await, json!({"valid": false}), "nothing else is said");
    }
    for garbage in ["", "x", "a.b.c", &api.key(json!({})).await.1] {
        assert_eq!(learns(&api, path, "token", garbage).await["valid"], false, "{garbage}");
    }
}

#[tokio::test]
async fn without_contact_with_the_log_keys_are_not_let_in_on_old_knowledge() {
    let api = api().await;
    let (_, key) = api.key(json!({})).await;
    // This one has stopped to follow the log before it began.
    let tasks = Tasks::new();
    tasks.token().cancel();
    let cut_off = Api::over(api.store.log().clone(), Arc::new(InMemory::new()), tasks);
    let refused = cut_off.bearing(key).get(CHECK).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (503, "api_keys_unavailable"), "{}", refused.body);
    assert_eq!(refused.header("retry-after"), "2");
    assert_eq!(cut_off.get(CHECK).await.status.as_u16(), IN, "tokens need no contact");
}

#[tokio::test]
async fn another_secret_of_the_server_ends_all_keys() {
    let api = api().await;
    let (_, key) = api.key(json!({})).await;
    let refused = api.app.known_keys().unwrap().verify(&TokenHasher::new(vec![4; 32]), &key);
    assert_eq!(refused.map(|_| ()).unwrap_err().status(), 401);
}

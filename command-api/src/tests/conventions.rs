use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use super::{Api, MODEL, token};
use crate::auth::Role;
use crate::http::cursor::{self, Binding};

#[tokio::test]
async fn every_failure_is_a_problem() {
    let api = Api::new();
    let cases = [
        (Method::GET, "/nothing", Value::Null, 404),
        (Method::DELETE, "/devices", Value::Null, 405),
        (Method::POST, "/devices", json!({"device_id": "a.b"}), 422),
        (Method::POST, "/devices", json!({"device_id": 7}), 422),
        (Method::POST, "/devices", json!([]), 422),
        (Method::GET, "/devices?limit=0", Value::Null, 400),
        (Method::GET, "/devices?cursor=zzz", Value::Null, 400),
        (Method::GET, "/devices?colour=red", Value::Null, 400),
        (Method::GET, "/devices?min_position=1000000000001-1", Value::Null, 409),
        (Method::GET, "/devices?min_position=x", Value::Null, 400),
        (Method::GET, "/campaigns/no-uuid", Value::Null, 404),
        (Method::GET, "/devices?firmware_version=%3C%3C1", Value::Null, 400),
        (Method::GET, "/devices?firmware_version=unreadable", Value::Null, 503),
        (Method::GET, "/devices?synced=true", Value::Null, 503),
        (Method::GET, "/devices?synced=maybe", Value::Null, 400),
        (Method::GET, "/devices?group=a.b", Value::Null, 400),
        (Method::GET, "/devices?group=g", Value::Null, 503),
        (Method::GET, "/groups?kind=bogus", Value::Null, 400),
        (Method::GET, "/groups/a.b", Value::Null, 404),
        (Method::GET, "/firmware?update_type=bogus", Value::Null, 400),
        (Method::GET, "/updates?kind=bogus", Value::Null, 400),
        (Method::GET, "/campaigns?deployment_strategy=bogus", Value::Null, 400),
        (Method::GET, "/campaigns?strategy=bogus", Value::Null, 400),
        (Method::GET, "/campaigns?firmware=a7145951-0000-5000-8000-000000000001&firmware_id=b", Value::Null, 400),
        (
            Method::GET,
            "/campaigns?firmware=a7145951-0000-5000-8000-000000000001&strategy=staged&status=draft",
            Value::Null,
            503,
        ),
    ];
    for (method, path, body, status) in cases {
        let answer = api.call(method.clone(), path, &[], body.clone()).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(answer.body["status"], status);
        let instance = answer.body["instance"].as_str().unwrap();
        assert!(format!("/api/v1{path}").starts_with(instance), "{instance}");
    }
}

#[tokio::test]
async fn what_has_the_wrong_shape_names_its_field() {
    let api = Api::new();
    api.device("d-1").await;
    let campaign = |field: &str, value: Value| {
        let mut body = json!({"name": "c", "firmware_id": "8f9f7c9e-0000-0000-0000-000000000000", "deployment_strategy": "staged",
            "target_all": true});
        body[field] = value;
        (Method::POST, "/campaigns", body, field.to_owned())
    };
    let named = |method: Method, path: &'static str, body: Value, field: &str| (method, path, body, field.to_owned());
    let positional: Vec<Value> = std::iter::repeat_n(Value::Null, 15).collect();
    let cases = [
        named(Method::POST, "/devices", positional.into(), "body"),
        named(Method::POST, "/devices/d-1/hold", json!([null, "because"]), "body"),
        named(Method::PATCH, "/devices/d-1", json!([]), "body"),
        campaign("target_filters", json!(["a"])),
        campaign("deployment_strategy", json!({"immediate": null})),
        campaign("deployment_strategy", json!(["immediate"])),
        campaign("deployment_strategy", Value::Null),
        campaign("priority", json!({"high": null})),
        campaign("priority", json!(1)),
        campaign("priority", json!([])),
        campaign("description", json!("a\u{0}b")),
        named(Method::POST, "/devices/d-1/update", json!({"firmware_id": "x", "priority": 5}), "firmware_id"),
        named(Method::POST, "/campaigns", json!({"waves": [[100]]}), "waves[0]"),
    ];
    for (method, path, body, field) in cases {
        let answer = api.call(method, path, &[], body.clone()).await;
        let shown = (answer.status.as_u16(), &answer.body["errors"][0]["field"]);
        assert_eq!(shown, (422, &json!(field)), "{path} {body}: {}", answer.body);
        assert!(!answer.body["detail"].as_str().unwrap().contains("struct"), "{}", answer.body);
    }
    assert_eq!(api.stored().await, 1);
}

#[tokio::test]
async fn malformed_oversized_and_foreign_bodies_are_told_apart() {
    let api = Api::new();
    let send = async |content_type: &str, body: Vec<u8>| {
        let request = Request::post("/api/v1/devices")
            .header("Authorization", format!("Bearer {}", api.token))
            .header("Content-Type", content_type)
            .body(Body::from(body))
            .unwrap();
        api.send(request).await.status.as_u16()
    };
    assert_eq!(send("application/json", b"{\"device_id\":".to_vec()).await, 400);
    assert_eq!(send("text/plain", b"{}".to_vec()).await, 415);
    assert_eq!(send("application/json", vec![b' '; 3 * 1024 * 1024]).await, 413);
    assert_eq!(send("application/merge-patch+json; charset=utf-8", b"{}".to_vec()).await, 201);
}

#[tokio::test]
async fn a_parameter_that_nobody_knows_is_refused() {
    let api = Api::new();
    api.device("d-1").await;
    let cases = [
        (Method::DELETE, "/devices/d-1?dryrun=true"),
        (Method::POST, "/devices/d-1/hold?until=2030-01-01T00:00:00Z"),
        (Method::PATCH, "/devices/d-1?if_match=1"),
        (Method::GET, "/devices/d-1/history?type=device.held"),
        (Method::GET, "/devices/d-1/updates?phase=failed"),
        (Method::GET, "/devices/d-1/firmware-history?phase=confirmed"),
        (Method::GET, "/campaigns/00000000-0000-0000-0000-000000000001/history?from=1"),
        (Method::GET, "/firmware/00000000-0000-0000-0000-000000000001/history?from=1"),
        (Method::GET, "/campaigns/00000000-0000-0000-0000-000000000001/devices?phase=nonsense"),
        (Method::GET, "/campaigns/00000000-0000-0000-0000-000000000001/devices?excluded=nonsense"),
        (Method::GET, "/updates?campaign_id=zz"),
        (Method::GET, "/updates?firmware_id=zz"),
        (Method::GET, "/updates?device_id=a%20b"),
    ];
    for (method, path) in cases {
        let answer = api.call(method.clone(), path, &[], Value::Null).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (400, "bad_request"),
            "{method} {path}: {}",
            answer.body
        );
    }
    assert_eq!(api.stored().await, 1);
    let known = api.call(Method::DELETE, "/devices/d-1?dry_run=true&reason=sold", &[], Value::Null).await;
    assert_eq!(known.status, 200, "{}", known.body);
}

#[tokio::test]
async fn a_cursor_made_by_hand_is_refused() {
    let api = Api::new();
    let list = async |path: &str, keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let cursor = cursor::encode(Binding::of(path, vec![]), keys);
        let answer = api.get(&format!("{path}?cursor={cursor}")).await;
        (answer.status.as_u16(), answer.body["detail"].as_str().unwrap_or_default().contains("is not valid"))
    };
    let (campaign, history) =
        ("/campaigns/00000000-0000-0000-0000-000000000001/devices", "/devices/d-1/firmware-history");
    let now = "2026-01-01T00:00:00.123456+00:00";
    for (path, keys) in [
        ("/updates", vec![now, "d", "1"]),
        ("/campaigns", vec![now, "c"]),
        (history, vec!["9223372036854775807", "0"]),
        (campaign, vec!["1", "1", "d"]),
    ] {
        assert_eq!(list(path, &keys).await, (503, false), "{path} {keys:?}");
    }
    for (path, keys) in [
        ("/updates", vec!["x", "d", "1"]),
        ("/updates", vec!["+262142-01-01T00:00:00Z", "d", "1"]),
        ("/updates", vec![now, "d", "-1"]),
        ("/campaigns", vec!["0000-01-01T00:00:00Z", "c"]),
        (history, vec!["9223372036854775808", "0"]),
        (campaign, vec!["70000", "1", "d"]),
    ] {
        assert_eq!(list(path, &keys).await, (400, true), "{path} {keys:?}");
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_of_their_tenant() {
    let mut api = Api::new();
    for (name, value) in
        [("X-Internal-Call", "true"), ("Authorization", "Bearer x.y.z"), ("Authorization", "Basic eDp5")]
    {
        let request = Request::get("/api/v1/devices").header(name, value).body(Body::empty()).unwrap();
        assert_eq!(api.send(request).await.status, 401, "{name}: {value}");
    }
    api.device("secret").await;
    assert_eq!(api.get("/tenants/rival/devices").await.status, 404);
    api.token = token("rival", Role::Admin);
    assert_eq!(api.get("/devices/secret/history").await.status, 404);
    assert_eq!(api.get("/devices/secret?at_position=1").await.status, 404);
    api.token = token("acme", Role::Viewer);
    assert_eq!(api.get("/devices/secret/history").await.status, 200);
    let refused = api.post("/devices", json!({"device_model": MODEL})).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (403, "forbidden"));
}

#[tokio::test]
async fn a_dev_token_opens_the_api() {
    let mut api = Api::new();
    for path in ["/api/v1/auth/dev-token", "/auth/dev-token"] {
        let wanted =
            json!({"user_id": "7", "email": "a@example.com", "expires_in": 60, "tenant_id": "acme"}).to_string();
        let request = Request::post(path).header("Content-Type", "application/json").body(wanted.into()).unwrap();
        let answer = api.send(request).await;
        assert_eq!((answer.status.as_u16(), &answer.body["tenant_id"]), (200, &json!("acme")));
        api.token = answer.body["token"].as_str().unwrap().to_owned();
        assert_eq!(api.post("/devices", json!({})).await.status, 201);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_stores_nothing() {
    let api = Api::new();
    let answer =
        api.post("/devices?dry_run=true", json!({"device_id": "d-1", "lorawan_dev_eui": "0102030405060708"})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["device_id"], &answer.body["dry_run"]), (&json!("d-1"), &json!(true)));
    assert_eq!(api.stored().await, 0);
}

#[tokio::test]
async fn a_change_of_another_version_is_refused() {
    let api = Api::new();
    api.device("d-1").await;
    let patch = async |tag: &str, name: &str| {
        api.call(Method::PATCH, "/devices/d-1", &[("If-Match", tag)], json!({"name": name})).await
    };
    assert_eq!(patch("\"1\"", "a").await.status, 200);
    let late = patch("\"1\"", "b").await;
    assert_eq!((late.status.as_u16(), late.problem()), (412, "version_differs"));
    assert_eq!(patch("*", "c").await.status, 200);
}

#[tokio::test]
async fn reads_say_that_postgresql_is_away_and_the_rest_goes_on() {
    let api = Api::new();
    api.device("d-1").await;
    let answer = api.get("/devices").await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (503, "postgresql_unavailable"));
    assert!(answer.body["detail"].as_str().unwrap().contains("PostgreSQL"));
    assert!(!answer.header("retry-after").is_empty());
    for (path, status) in [("/health", 200), ("/health/ready", 503), ("/api/v1/service/stats", 200), ("/docs", 308)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(api.send(request).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_description_lists_every_operation_once() {
    let api: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(api["servers"][1]["url"], "/api/v1/tenants/{tenant_id}");
    let mut ids: Vec<&str> = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        // Tenants themselves have no twin.
        let is_twin = path.starts_with("/tenants/") && item["servers"].is_null();
        assert!(!path.starts_with("/api/") && !is_twin, "{path}");
        for (method, operation) in item.as_object().unwrap() {
            if method == "servers" {
                continue;
            }
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let named = |name: &str| {
                operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
            };
            assert_eq!(named("Idempotency-Key"), named("dry_run") && named("reason"), "{method} {path}");
            assert!(path != "/devices" || method != "get" || (named("id") && named("tag")), "{path}");
            let old =
                path.contains("/ota/campaigns/") || path.contains("/stats/campaigns/") || path.ends_with("/ota/update");
            assert_eq!(operation["deprecated"] == true, old, "{method} {path}");
            for (status, is_expected) in [
                ("400", true),
                ("401", operation["security"].is_null()),
                ("429", !crate::http::observe::MONITORING.contains(&path.as_str())),
                ("413", !operation["requestBody"].is_null()),
                ("412", named("Idempotency-Key")),
            ] {
                let is_there = !operation["responses"][status].is_null();
                assert!(is_there || !is_expected, "{method} {path} has no {status}");
            }
            ids.push(operation["operationId"].as_str().unwrap());
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(count > 45, "{count}");
}

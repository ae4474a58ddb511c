//! Query parameters of all routes, taken from the API description, so that no route is left out.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use super::{Answer, Api};

/// An operation as the description has it.
struct Operation {
    method: Method,
    /// The path under which it is served.
    paths: Vec<String>,
    /// Its parameters in the query, and whether each may be given more than once.
    parameters: Vec<(String, bool)>,
}

fn operations() -> Vec<Operation> {
    let api: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        let (filled, own_server) = (filled(path), item["servers"][0]["url"].as_str());
        let paths = match own_server {
            Some("/") => vec![filled],
            Some(server) => vec![format!("{server}{filled}")],
            None => vec![format!("/api/v1{filled}"), format!("/api/v1/tenants/acme{filled}")],
        };
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "servers") {
            let parameters =
                operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query");
            let parameters = parameters
                .map(|one| (one["name"].as_str().unwrap().to_owned(), one["schema"].to_string().contains("array")));
            let method = method.to_ascii_uppercase().parse().unwrap();
            operations.push(Operation { method, paths: paths.clone(), parameters: parameters.collect() });
        }
    }
    operations
}

/// A path with ids in place of its parameters.
pub(super) fn filled(path: &str) -> String {
    let ids = [
        ("{device_id}", "d-1"),
        ("{ordinal}", "1"),
        ("{update_id}", "d-1~1"),
        ("{wave}", "1"),
        ("{token}", "x"),
        ("{tenant_id}", "acme"),
    ];
    let path = ids.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id));
    let parts = path.split('/').map(|part| match part.starts_with('{') {
        true => "00000000-0000-0000-0000-000000000001",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

async fn send(api: &Api, method: &Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("Authorization", format!("Bearer {}", api.token));
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_route_refuses_a_parameter_that_it_does_not_know() {
    let api = Api::new();
    let operations = operations();
    assert!(operations.len() > 45);
    for Operation { method, paths, .. } in &operations {
        // The provider, or the network server, chooses what it sends there.
        let is_open = |path: &&String| path.ends_with(crate::sign_in::CALLBACK) || path.contains("/lorawan/webhooks/");
        for path in paths.iter().filter(|path| !is_open(path)) {
            for name in ["foo", "at_tme", "Limit"] {
                let answer = send(&api, method, &format!("{path}?{name}=bar")).await;
                let told = (answer.status.as_u16(), &answer.body["errors"][0]["field"]);
                assert_eq!(told, (400, &json!(name)), "{method} {path}: {}", answer.body);
            }
        }
    }
    assert_eq!(send(&api, &Method::HEAD, "/health?foo=bar").await.status, 400);
    assert_eq!(api.stored().await, 0);
}

#[tokio::test]
async fn every_route_refuses_a_parameter_that_is_given_twice() {
    let api = Api::new();
    for Operation { method, paths, parameters } in operations() {
        for (path, (name, _)) in paths.iter().flat_map(|path| parameters.iter().map(move |one| (path, one))) {
            let lists = parameters.iter().any(|(other, list)| other == name && *list);
            let answer = send(&api, &method, &format!("{path}?{name}=1&{name}=1")).await;
            let doubled = answer.body["errors"][0] == json!({"field": name, "reason": "is given twice"});
            assert_eq!(doubled, !lists, "{method} {path} {name}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_moment_belongs_to_reads_that_have_a_past() {
    let api = Api::new();
    for path in ["/devices", "/devices/d-1/history", "/devices/d-1/firmware-history", "/updates", "/updates/d-1~1"] {
        for moment in ["at_time=2026-01-01T00:00:00Z", "at_position=1"] {
            assert_eq!(api.get(&format!("{path}?{moment}")).await.status, 400, "{path}");
        }
    }
}

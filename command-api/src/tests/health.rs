//! Which callers see which state of the installation, and when it is ready.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use projections::ProjectionStatus;
use serde_json::Value;

use super::{Answer, Api, PATIENCE, token, until};
use crate::auth::Role;

impl Api {
    async fn health(&self, path: &str, token: Option<String>) -> Answer {
        let mut request = Request::get(format!("/health{path}"));
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn what_is_wrong_is_shown_to_those_who_look_after_the_installation() {
    let api = Api::new();
    for (token, shown) in [
        (None, false),
        (Some(token("acme", Role::Admin)), false),
        (Some(token("default", Role::Operator)), false),
        (Some(token("default", Role::Admin)), true),
        (Some(token("acme", Role::PlatformAdmin)), true),
    ] {
        let answer = api.health("/detailed", token.clone()).await;
        let parts = answer.body["components"].as_array().unwrap();
        let database = parts.iter().find(|part| part["name"] == "PostgreSQL").unwrap();
        assert_eq!((answer.status.as_u16(), &database["up"]), (200, &Value::Bool(false)));
        assert_eq!(database["error"].is_string(), shown, "{token:?}: {database}");
    }
}

/// Without a bound of its own the wait would outlast the test.
#[tokio::test]
async fn nobody_waits_for_a_read_model_that_does_not_run() {
    let api = Api::new();
    api.device("d-1").await;
    let statuses = async || api.app.projections.status().await.unwrap();
    let each_is_in_error = |all: &Vec<ProjectionStatus>| all.iter().all(|status| status.error.is_some());
    until("the failure of PostgreSQL is detected", statuses, each_is_in_error).await;
    let wait = api.app.projections.wait_if_running(&[projections::FLEET], 1, Duration::from_secs(600));
    assert!(tokio::time::timeout(PATIENCE, wait).await.expect("no wait").is_err());
    let shown = api.get("/devices/d-1").await;
    assert_eq!((shown.status.as_u16(), shown.problem()), (503, "postgresql_unavailable"), "{}", shown.body);
}

#[tokio::test]
async fn the_platforms_role_opens_no_tenant() {
    let mut api = Api::new();
    api.device("d-1").await;
    api.token = token("acme", Role::PlatformAdmin);
    assert_eq!(api.get("/devices/d-1/history").await.status, 403);
}

#[tokio::test]
async fn a_service_that_has_started_is_ready_without_postgresql() {
    let api = Api::new();
    assert_eq!(api.health("/ready", None).await.status, 503, "its tables may not be there yet");
    api.app.read_models_seen.store(true, Ordering::Relaxed);
    assert_eq!(api.health("/ready", None).await.status, 200);
    api.app.tasks.token().cancel();
    assert_eq!(api.health("/ready", None).await.status, 503, "it stops");
}

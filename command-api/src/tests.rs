//! The command side through the router, over a log in memory and without PostgreSQL: all of this also works while PostgreSQL is down.

mod access;
mod api_keys;
mod approval;
mod bulk_updates;
mod campaigns;
mod conventions;
mod correlations;
mod credentials;
mod deletions;
mod devices;
mod documents;
mod downloads;
mod examples;
mod groups;
mod health;
mod hostile_bodies;
mod hostile_texts;
mod imports;
mod late_bodies;
mod limits;
mod lorawan;
mod parameters;
mod past;
mod registrations;
mod repeats;
mod rollouts;
mod sign_in;
mod signatures;
mod slow_uploads;
mod tenants;
mod updates;
mod uploads;
mod webhooks;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chrono::TimeDelta;
use domain::tenant::{Tenant, TenantCommand, TenantSpec};
use domain::{Actor, ActorKind, CommandId, Key, Rejection, TenantId};
use event_store::network::MemoryRawEvents;
use event_store::{EventStore, ExecuteError, Log, MemoryLog};
use firmware_store::FirmwareStore;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use projections::{Db, Projections};
use runtime::clock;
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;
use trust::TokenHasher;

use crate::caller::Role;
use crate::state::App;
use crate::tokens::{TokenRules, Tokens};
use crate::{ApiConfig, ApiState};

/// Longest wait in these tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(10);
/// How long a read waits for a PostgreSQL that isn't there.
const POSTGRES_WAIT: Duration = Duration::from_millis(100);
const SECRET: [u8; 32] = [1; 32];
/// Largest firmware in these tests, in bytes.
const FIRMWARE_MAX_BYTES: u64 = 100_000;
/// Most events of network servers that are kept in these tests.
const NETWORK_EVENTS_MAX: usize = 100;
const MODEL: &str = "SF-2024-Pro";

/// A service with one operator.
pub(crate) struct Api {
    pub(crate) app: App,
    router: Router,
    store: EventStore,
    objects: Arc<dyn ObjectStore>,
    /// Events of network servers that wait.
    network: Arc<MemoryRawEvents>,
    token: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
    pub(crate) body: Value,
}

/// The tenants of these tests.
const TENANTS: [&str; 4] = ["acme", "default", "globex", "rival"];

async fn create_tenant(store: &EventStore, tenant: &str) {
    let tenant = TenantId::new(tenant).unwrap();
    let (actor, command) = (Actor::new("user:1").unwrap(), TenantCommand::Create { spec: TenantSpec::default() });
    let request = event_store::Request::new(CommandId(clock::new_id()), actor, command);
    let made = store.execute(&Key::<Tenant>::new(&tenant, &tenant), request).await;
    assert!(matches!(made, Ok(_) | Err(ExecuteError::Rejected(Rejection::TenantExists))), "{:?}", made.err());
}

fn token_rules() -> TokenRules {
    TokenRules { secret: Some(SECRET.to_vec()), ..TokenRules::default() }
}

fn token(tenant: &str, role: Role) -> String {
    let expires_at = clock::now() + TimeDelta::minutes(5);
    Tokens::new(&token_rules()).sign("42", &TenantId::new(tenant).unwrap(), vec![role], expires_at).unwrap()
}

/// Polls until the condition is met.
async fn until<T: Debug>(what: &str, look: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; last {seen:?}");
        tokio::time::sleep(POLL).await;
    }
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with_objects(Arc::new(InMemory::new()))
    }

    fn with_objects(objects: Arc<dyn ObjectStore>) -> Self {
        Self::over(Arc::new(MemoryLog::new()), objects, Tasks::new())
    }

    /// With other settings.
    pub(crate) fn with_config(change: impl FnOnce(&mut ApiConfig)) -> Self {
        Self::with(Arc::new(MemoryLog::new()), Arc::new(InMemory::new()), Tasks::new(), change)
    }

    /// A service over a log, with tasks that follow it.
    fn over(log: Arc<dyn Log>, objects: Arc<dyn ObjectStore>, tasks: Tasks) -> Self {
        Self::with(log, objects, tasks, |_| {})
    }

    fn with(
        log: Arc<dyn Log>,
        objects: Arc<dyn ObjectStore>,
        tasks: Tasks,
        change: impl FnOnce(&mut ApiConfig),
    ) -> Self {
        let store = EventStore::new(log.clone());
        TENANTS.into_iter().for_each(|tenant| futures::executor::block_on(create_tenant(&store, tenant)));
        // No server listens there.
        let db = Db::connect_within("postgres://nobody@127.0.0.1:1/none", POSTGRES_WAIT).unwrap();
        let projections = Projections::follow(db.clone(), log, &Tasks::new());
        let mut config = ApiConfig {
            development: true,
            max_firmware_bytes: FIRMWARE_MAX_BYTES,
            upload_silence_max: Duration::from_secs(1),
            ..ApiConfig::new(
                token_rules(),
                vec![2; 32],
                TokenHasher::new(vec![3; 32]),
                "http://localhost:8240".to_owned(),
            )
        };
        change(&mut config);
        let network = Arc::new(MemoryRawEvents::new(NETWORK_EVENTS_MAX));
        let state = ApiState {
            store: store.clone(),
            projections,
            db,
            dead_letters: None,
            telemetry: None,
            feed_consumers: None,
            stream_sizes: None,
            network: Some(network.clone()),
            secrets: None,
            firmware_store: FirmwareStore::of(objects.clone()),
            config,
            metrics: None,
            checks: vec![],
        };
        let app = App::new(state, tasks);
        let router = crate::router::build(app.clone());
        Self { app, router, store, objects, network, token: token("acme", Role::Admin) }
    }

    /// The same service for another caller.
    fn acting(&self, kind: ActorKind, id: &str, role: Role) -> Self {
        let (tenant, expires_at) = (TenantId::new("acme").unwrap(), clock::now() + TimeDelta::minutes(5));
        self.bearing(Tokens::new(&token_rules()).sign_as(kind, id, &tenant, vec![role], expires_at).unwrap())
    }

    /// The same service for the bearer of a token.
    pub(crate) fn bearing(&self, token: impl Into<String>) -> Self {
        let (app, router, network) = (self.app.clone(), self.router.clone(), self.network.clone());
        Self { app, router, store: self.store.clone(), objects: self.objects.clone(), network, token: token.into() }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // A stream of messages has no end.
        let is_stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let bytes = if is_stream { vec![] } else { axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec() };
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, bytes, body }
    }

    /// A request with further headers; `path` is relative to `/api/v1`.
    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], Value::Null).await
    }

    /// Uploads bytes with metadata added to the required fields.
    async fn upload(&self, file: &[u8], more: Value) -> Answer {
        let mut metadata = json!({"name": "F", "version": "2.0.0", "device_model": MODEL});
        for (field, value) in more.as_object().unwrap() {
            metadata[field] = value.clone();
        }
        let parts = [("metadata", metadata.to_string().into_bytes()), ("file", file.to_vec())];
        self.multipart(&parts, true).await
    }

    async fn multipart(&self, parts: &[(&str, Vec<u8>)], complete: bool) -> Answer {
        let mut body = Vec::new();
        for (name, content) in parts {
            let head = format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f.bin\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        if complete {
            body.extend_from_slice(b"--XX--\r\n");
        } else {
            body.truncate(body.len() - 3);
        }
        let request = Request::post("/api/v1/firmware")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=XX")
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    /// An uploaded firmware.
    async fn firmware(&self, version: &str) -> String {
        let answer = self.upload(version.as_bytes(), json!({"version": version})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["firmware_id"].as_str().unwrap().to_owned()
    }

    async fn device(&self, id: &str) {
        let answer =
            self.post("/devices", json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    }

    /// Records that were stored beside those of [`TENANTS`].
    async fn stored(&self) -> u64 {
        self.store.log().info().await.unwrap().last_sequence - TENANTS.len() as u64
    }

    /// The log's last position.
    async fn head(&self) -> u64 {
        self.store.log().info().await.unwrap().last_sequence
    }

    /// The position of the nth of these.
    fn nth(&self, n: usize) -> usize {
        TENANTS.len() + n
    }
}

impl Answer {
    fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or("no problem").trim_start_matches("/problems/")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

//! `/health` (the process runs), `/health/ready` (it accepts commands), `/health/detailed` (state of each part; lag only for platform
//! admins).
//!
//! Commands need only the event log, so a service that has connected to its read models once stays ready without them. Otherwise a load
//! balancer would stop commands too while PostgreSQL is down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use event_store::StoreError;
use futures::FutureExt;
use projections::{ProjectionState, ProjectionStatus};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::internals::{self, ParkedBody, StreamBody};
use super::parts::{Finding, PartStatus};
use crate::auth::authenticate;
use crate::http::Problem;
use crate::state::App;

const NO_ANSWER: &str = "no answer in time";
/// Longest wait for a dependency's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// A dependency of the service, or a part of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Component {
    name: String,
    up: bool,
    /// Platform admins only: `degraded` if it works but needs attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<PartStatus>,
    /// Platform admins only: the amount of pending work, or the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Platform admins only.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Platform admins only: how many positions a projection is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
    /// Platform admins only: the position that a projection has reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Platform admins only: aggregates that a projection could not apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetailedHealth {
    /// `ok`, or `degraded`.
    status: &'static str,
    components: Vec<Component>,
    /// Platform admins only: at most 100, those that wait longest first; absent without PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<Vec<ParkedBody>>,
    /// Platform admins only: absent while JetStream doesn't answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<Vec<StreamBody>>,
}

/// Is the process alive?
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, body = Health)))]
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Does the service accept commands?
///
/// 503 names what is missing: the event log, also if it stores nothing because its disk is full; after a start also the read models, until
/// they were reachable once. 503 also while the process stops.
#[utoipa::path(
    get, path = "/health/ready", tag = "service",
    responses((status = 200, body = Health), (status = 503, description = "Something is missing"))
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<Health>, Problem> {
    if app.tasks.token().is_cancelled() {
        return Err(Problem::unavailable("stopping", "the service is stopping"));
    }
    let log = match log_error(&app).await {
        None => None,
        Some(StoreError::NoSpace(_)) => Some("event log (no space left)"),
        Some(_) => Some("event log"),
    };
    let read_models = (!has_read_models(&app)).then_some("read models");
    let missing: Vec<&str> = log.into_iter().chain(read_models).collect();
    if missing.is_empty() {
        return Ok(Json(Health { status: "ready" }));
    }
    Err(Problem::unavailable("not_ready", format!("not available: {}", missing.join(", "))))
}

/// Whether the read models were reachable once since the process started.
fn has_read_models(app: &App) -> bool {
    let seen = app.read_models_seen.load(Ordering::Relaxed) || app.projections.started().now_or_never().is_some();
    app.read_models_seen.store(seen, Ordering::Relaxed);
    seen
}

/// Optional credentials.
pub(crate) struct MaybePlatformAdmin(bool);

impl FromRequestParts<App> for MaybePlatformAdmin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let caller = authenticate(app, parts).await;
        Ok(Self(caller.is_ok_and(|caller| caller.sees_platform(app.config.development))))
    }
}

/// Show the state of each part
///
/// The event log, PostgreSQL and each read model; of this process also its connection for commands to devices, its process managers, the
/// unprocessed messages of devices, the brokers of ChirpStacks that it reads, the watermark of devices, and whether firmware can be stored. Status, details, errors, lag, parked aggregates and
/// sizes of streams are shown only to callers with role platform_admin; in development also to admins of the default tenant.
#[utoipa::path(
    get, path = "/health/detailed", tag = "service", security((), ("bearer" = [])),
    responses((status = 200, body = DetailedHealth))
)]
pub(crate) async fn detailed(
    State(app): State<App>,
    MaybePlatformAdmin(admin): MaybePlatformAdmin,
) -> Json<DetailedHealth> {
    let mut components = components(&app).await;
    let degraded = components.iter().any(|part| part.status != Some(PartStatus::Up));
    let status = if degraded { "degraded" } else { "ok" };
    if !admin {
        components = components.into_iter().map(|part| Component::bare(part.name, part.up)).collect();
        return Json(DetailedHealth { status, components, parked: None, streams: None });
    }
    let (parked, streams) =
        tokio::join!(timeout(PROBE_TIMEOUT, internals::parked(&app)), timeout(PROBE_TIMEOUT, internals::streams(&app)));
    Json(DetailedHealth { status, components, parked: parked.ok().flatten(), streams: streams.ok().flatten() })
}

async fn components(app: &App) -> Vec<Component> {
    let parts = futures::future::join_all(app.checks.iter().map(|check| timeout(PROBE_TIMEOUT, check())));
    let (log, database, projections, parts, sign_in) = tokio::join!(
        event_log(app),
        probe("PostgreSQL", async { app.db.ping().await.map_err(|error| error.to_string()) }),
        timeout(PROBE_TIMEOUT, app.projections.status()),
        parts,
        async {
            let sign_in = app.sign_in.as_ref()?;
            Some(timeout(PROBE_TIMEOUT, sign_in.finding()).await)
        },
    );
    let mut components = vec![log, database];
    match projections {
        Ok(Ok(statuses)) => components.extend(statuses.into_iter().map(Component::from)),
        Ok(Err(error)) => components.push(Component::new("projections", Some(error.to_string()))),
        Err(_) => components.push(Component::new("projections", Some(NO_ANSWER.to_owned()))),
    }
    components.extend(sign_in.map(|finding| match finding {
        Ok(finding) => Component::from(finding),
        Err(_) => Component::new("sign-in", Some(NO_ANSWER.to_owned())),
    }));
    for findings in parts {
        match findings {
            Ok(findings) => components.extend(findings.into_iter().map(Component::from)),
            Err(_) => components.push(Component::new("a part of the process", Some(NO_ANSWER.to_owned()))),
        }
    }
    components
}

async fn event_log(app: &App) -> Component {
    Component::new("event log", log_error(app).await.map(|error| error.to_string()))
}

/// Why the event log can't be read or written.
async fn log_error(app: &App) -> Option<StoreError> {
    let log = app.store.log();
    let asked = async {
        log.info().await?;
        log.writable().await
    };
    match tokio::time::timeout(PROBE_TIMEOUT, asked).await {
        Ok(answer) => answer.err(),
        Err(_) => Some(StoreError::Unavailable("no answer in time".to_owned())),
    }
}

async fn probe(name: &str, question: impl Future<Output = Result<(), String>>) -> Component {
    let error = match timeout(PROBE_TIMEOUT, question).await {
        Ok(answer) => answer.err(),
        Err(_) => Some(NO_ANSWER.to_owned()),
    };
    Component::new(name, error)
}

impl Component {
    /// The part that is public.
    fn bare(name: String, up: bool) -> Self {
        Self { name, up, status: None, detail: None, error: None, lag: None, position: None, parked: None }
    }

    fn new(name: &str, error: Option<String>) -> Self {
        let status = if error.is_none() { PartStatus::Up } else { PartStatus::Down };
        Self { status: Some(status), error, ..Self::bare(name.to_owned(), status == PartStatus::Up) }
    }
}

impl From<ProjectionStatus> for Component {
    fn from(status: ProjectionStatus) -> Self {
        let up = matches!(status.state, ProjectionState::Running | ProjectionState::CaughtUp);
        let part_status = match (up, status.parked) {
            (false, _) => PartStatus::Down,
            (true, 0) => PartStatus::Up,
            (true, _) => PartStatus::Degraded,
        };
        Self {
            status: Some(part_status),
            error: status.error,
            lag: Some(status.lag),
            position: Some(status.position),
            parked: Some(status.parked),
            ..Self::bare(format!("projection {}", status.name), up)
        }
    }
}

impl From<Finding> for Component {
    fn from(finding: Finding) -> Self {
        let up = finding.status != PartStatus::Down;
        Self { status: Some(finding.status), detail: finding.detail, ..Self::bare(finding.name, up) }
    }
}

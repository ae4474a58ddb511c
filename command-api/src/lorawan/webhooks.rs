//! `POST /lorawan/webhooks/{tenant_id}`, `…/uplink`, `…/status`, `…/error`: events of ChirpStack, versions 3 and 4, JSON and protobuf.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Extensions;
use axum::http::request::Parts;
use chirpstack::events::{self, Hints, Route};
use domain::tenant::{Shut, Tenant, WEBHOOK_HEADER_DEFAULT};
use domain::{Actor, ActorKind, TenantId};
use event_store::AppendError;
use event_store::network::{RawEvent, RawSource};
use runtime::clock;
use serde::{Deserialize, Serialize};
use trust::SecretValue;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::authenticity::Shown;
use super::metrics::{self, BAD_SIGNATURE, FULL, STORED, UNAVAILABLE, UNSIGNED};
use crate::http::{Path, Problem, body, query};
use crate::openapi::problem_response;
use crate::state::App;

/// Largest body, in bytes.
pub(crate) const BODY_MAX_BYTES: usize = events::EVENT_MAX_BYTES;
/// The routes, without `/api/v1`.
pub(crate) const PATHS: [&str; 4] = [
    "/lorawan/webhooks/{tenant_id}",
    "/lorawan/webhooks/{tenant_id}/uplink",
    "/lorawan/webhooks/{tenant_id}/status",
    "/lorawan/webhooks/{tenant_id}/error",
];
/// Whom webhooks are counted for.
const ACTOR: &str = "chirpstack";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct WebhookPath {
    #[param(value_type = String, example = "acme")]
    tenant_id: TenantId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WebhookParams {
    /// `up`, `join`, `ack`, `txack`, `status`, `log`, `error`, `location` or `integration`: ChirpStack adds it, also to a URL that has one.
    /// Two different ones are refused. Without it the route or the fields of the body decide; a body in protobuf needs it.
    #[param(example = json!(["up"]))]
    #[serde(rename = "event")]
    _event: Option<Vec<String>>,
}

/// An event that is stored. It is read later, so this doesn't say that it makes sense.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookReply {
    /// Always `stored`.
    #[schema(example = "stored")]
    status: &'static str,
}

/// The refusals that all these routes have.
pub(crate) enum WebhookRefusals {}

impl IntoResponses for WebhookRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusals = [
            ("401", "Neither the secret nor a valid signature"),
            ("403", "The tenant is closed"),
            ("404", "No such tenant"),
            ("503", "Too many events wait, or the event log is down: send it again after `Retry-After`"),
        ];
        refusals.map(|(status, description)| (status.to_owned(), RefOr::T(problem_response(description)))).into()
    }
}

/// Receive an event of ChirpStack
///
/// The URL for the HTTP integration of ChirpStack 4 and 3, JSON or protobuf. The tenant's webhook secret comes in the header that its
/// connection names, or as the key of `X-Waybill-Signature: t=…,v1=…` (HMAC-SHA256 of `{t}.{body}`, at most 300 seconds old). Unknown
/// parameters, kinds and devices get 200, too.
#[utoipa::path(
    post, path = "/lorawan/webhooks/{tenant_id}", tag = "lorawan", params(WebhookPath, WebhookParams),
    request_body(content = Object, description = "The event as ChirpStack sends it", content_type = "application/json", example = json!({
        "deduplicationId": "0677a3f2-96f5-42b5-8bca-8d95658d4ba8", "time": "2026-11-21T03:39:50.977+00:00",
        "deviceInfo": {"devEui": "0102030405060708"}, "fCnt": 7, "fPort": 20, "confirmed": false, "data": "gQAHAQMo",
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -57, "snr": 9.5}],
    })),
    responses((status = 200, body = WebhookReply), WebhookRefusals)
)]
pub(crate) async fn receive_event(
    State(app): State<App>,
    Path(path): Path<WebhookPath>,
    request: Request,
) -> Result<Json<WebhookReply>, Problem> {
    receive(&app, path.tenant_id, None, request).await
}

/// Receive an uplink
///
/// The same for the URL of uplinks of ChirpStack 3, or of a program that sends only these.
#[utoipa::path(
    post, path = "/lorawan/webhooks/{tenant_id}/uplink", tag = "lorawan", params(WebhookPath, WebhookParams),
    request_body(content = Object, description = "The uplink", content_type = "application/json", example = json!({
        "devEUI": "0102030405060708", "objectJSON": "{\"temp\": 22.5, \"battery\": 85}", "rxInfo": [{"rssi": -95}],
    })),
    responses((status = 200, body = WebhookReply), WebhookRefusals)
)]
pub(crate) async fn receive_uplink(
    State(app): State<App>,
    Path(path): Path<WebhookPath>,
    request: Request,
) -> Result<Json<WebhookReply>, Problem> {
    receive(&app, path.tenant_id, Some(Route::Uplink), request).await
}

/// Receive a status
///
/// A status of ChirpStack, or `{"devEUI": …, "status": "online"}` (`offline`).
#[utoipa::path(
    post, path = "/lorawan/webhooks/{tenant_id}/status", tag = "lorawan", params(WebhookPath, WebhookParams),
    request_body(content = Object, description = "The status", content_type = "application/json", example = json!({"devEUI": "0102030405060708", "status": "online"})),
    responses((status = 200, body = WebhookReply), WebhookRefusals)
)]
pub(crate) async fn receive_status(
    State(app): State<App>,
    Path(path): Path<WebhookPath>,
    request: Request,
) -> Result<Json<WebhookReply>, Problem> {
    receive(&app, path.tenant_id, Some(Route::Status), request).await
}

/// Receive an error
///
/// Errors of ChirpStack 3, and logs of 4, are kept as notices of the device (`GET /devices/{device_id}/network-notices`).
#[utoipa::path(
    post, path = "/lorawan/webhooks/{tenant_id}/error", tag = "lorawan", params(WebhookPath, WebhookParams),
    request_body(content = Object, description = "The error", content_type = "application/json", example = json!({"devEUI": "0102030405060708", "type": "UPLINK_CODEC", "error": "bad frame"})),
    responses((status = 200, body = WebhookReply), WebhookRefusals)
)]
pub(crate) async fn receive_error(
    State(app): State<App>,
    Path(path): Path<WebhookPath>,
    request: Request,
) -> Result<Json<WebhookReply>, Problem> {
    receive(&app, path.tenant_id, Some(Route::Error), request).await
}

async fn receive(
    app: &App,
    tenant: TenantId,
    route: Option<Route>,
    request: Request,
) -> Result<Json<WebhookReply>, Problem> {
    let known = open_tenant(app, &tenant).await?;
    let (parts, content) = request.into_parts();
    let body = body::read(Request::from_parts(parts.clone(), content), app).await?;
    admit(app, &tenant, &known, &parts, &body).await?;
    count(app, &parts.extensions, &tenant).await?;
    let event = event_of(query::read(parts.uri.query())?)?;
    let read = events::normalise(&body, &Hints { event: event.as_deref(), route });
    let id = read.ok().and_then(|read| read.dedup_key).map(|key| key.to_string());
    let (source, origin) = (RawSource::Webhook, parts.uri.path().to_owned());
    let route = route.map(|route| route.word().to_owned());
    keep(app, RawEvent { tenant, source, event, route, origin, id, body }).await?;
    metrics::count(STORED);
    Ok(Json(WebhookReply { status: "stored" }))
}

async fn open_tenant(app: &App, tenant: &TenantId) -> Result<std::sync::Arc<Tenant>, Problem> {
    let known = app.tenants.get(tenant).await?;
    match known.admits_callers() {
        Ok(()) => Ok(known),
        Err(Shut::Unknown) => Err(Problem::not_found("no such tenant")),
        Err(Shut::Suspended) => Err(Problem::forbidden_as("tenant_suspended", "the tenant is suspended")),
        Err(Shut::Closed) => Err(Problem::forbidden_as("tenant_closed", "the tenant is closed")),
    }
}

/// The kind of event that the sender names. Two kinds are refused: which of them the body has would be a guess.
fn event_of(parameters: impl IntoIterator<Item = (String, String)>) -> Result<Option<String>, Problem> {
    let mut named = parameters.into_iter().filter(|(name, _)| name == "event").map(|(_, value)| value);
    let event = named.next();
    match named.find(|other| Some(other) != event.as_ref()) {
        None => Ok(event),
        Some(_) => Err(Problem::bad_request("event is given twice: ChirpStack adds it, so the URL must not have one")),
    }
}

/// Refuses who shows neither the secret nor a signature. In development nothing needs to be shown.
async fn admit(app: &App, tenant: &TenantId, known: &Tenant, parts: &Parts, body: &[u8]) -> Result<(), Problem> {
    let connection = known.chirpstack.as_deref();
    let header = connection.and_then(|connection| connection.webhook_header.as_deref());
    let header = header.unwrap_or(WEBHOOK_HEADER_DEFAULT).to_ascii_lowercase();
    let unsigned = |why: &str| {
        if app.config.development {
            return Ok(());
        }
        metrics::count(UNSIGNED);
        Err(Problem::unauthorized(why))
    };
    let Some(shown) = Shown::of(&parts.headers, &header) else {
        return unsigned("the webhook shows neither the tenant's secret nor a signature");
    };
    let mut refusal = None;
    for secret in secrets(app, tenant, known).await? {
        match shown.check(secret.reveal(), body, clock::now()) {
            Ok(()) => return Ok(()),
            Err(why) => refusal = Some(why),
        }
    }
    let Some(why) = refusal else {
        return unsigned("the tenant has no webhook secret, so no webhook is accepted");
    };
    metrics::count(BAD_SIGNATURE);
    tracing::warn!(%tenant, reason = why, "a webhook is refused");
    Err(Problem::unauthorized(why))
}

/// The tenant's webhook secrets: two while one replaces the other.
async fn secrets(app: &App, tenant: &TenantId, known: &Tenant) -> Result<Vec<SecretValue>, Problem> {
    let references: Vec<_> = known.chirpstack.iter().flat_map(|connection| connection.webhook_secrets()).collect();
    if references.is_empty() {
        return Ok(vec![]);
    }
    let unavailable = |why: String| {
        metrics::count(UNAVAILABLE);
        Problem::unavailable("webhook_secret_unavailable", why)
    };
    let secrets = app.secrets.as_ref().ok_or_else(|| unavailable("this process reads no secrets".to_owned()))?;
    let mut values = Vec::with_capacity(references.len());
    for reference in references {
        let value = secrets.read(tenant, reference).await;
        values.push(value.map_err(|error| unavailable(format!("the webhook secret can't be read: {error}")))?);
    }
    Ok(values)
}

/// Counts a webhook against the limits of its tenant.
async fn count(app: &App, extensions: &Extensions, tenant: &TenantId) -> Result<(), Problem> {
    let actor = Actor::of(ActorKind::Service, ACTOR).unwrap_or_else(|_| unreachable!("a valid actor"));
    app.throttle.admit(extensions, tenant, &actor)?;
    app.tenants.admit(tenant).await
}

async fn keep(app: &App, event: RawEvent) -> Result<(), Problem> {
    let queue = app.network.as_ref();
    let queue = queue.ok_or_else(|| Problem::unavailable("event_log_unavailable", "events can't be stored"))?;
    queue.keep(&event).await.map_err(|error| match error {
        AppendError::TooLarge { .. } => body::too_large(),
        AppendError::NoSpace(_) => {
            metrics::count(FULL);
            Problem::unavailable("network_queue_full", "too many events wait to be handled; send this one again later")
        }
        error => {
            metrics::count(UNAVAILABLE);
            Problem::unavailable("event_log_unavailable", format!("the event is not stored: {error}"))
        }
    })
}

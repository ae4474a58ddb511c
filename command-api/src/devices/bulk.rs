//! `POST /devices/bulk`: register up to 10,000 devices, each with an outcome of its own.
//!
//! Takes a JSON array or NDJSON. Each device is atomic; if the request is repeated, it gives the same outcomes. Commands are pipelined,
//! [`IN_FLIGHT_MAX`] at a time.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::create::{self, DeviceRequest};
use super::key;
use crate::auth::{Caller, Operator};
use crate::http::body;
use crate::http::problem::{FieldError, ProblemBody};
use crate::http::reply::POSITION_HEADER;
use crate::http::{Envelope, Problem, UnreadCommand};
use crate::state::App;

/// Most devices of one request.
const ITEMS_MAX: usize = 10_000;
/// Largest body, in bytes.
pub(crate) const BULK_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Largest item, in bytes.
const ITEM_MAX_BYTES: usize = 256 * 1024;
/// Most commands under way at once.
const IN_FLIGHT_MAX: usize = 256;

/// Headers of a command on many devices. There is no `If-Match`, since it would apply to none of them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Envelope` reads by hand")]
pub(crate) struct BulkHeaders {
    /// With the same devices the same key gives the first outcomes; with others 422.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// Correlates everything that follows in the audit. Without it each device's registration has an id of its own.
    #[param(rename = "X-Correlation-Id")]
    correlation_id: Option<Uuid>,
}

/// An item's id; none if it has none that can be read.
#[derive(Default, Deserialize)]
struct GivenId {
    #[serde(default)]
    device_id: Option<String>,
}

/// The outcome of one item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkItem {
    /// Index in the request, from 0.
    index: usize,
    /// The device's id, also for a refused item; null if the request gives none.
    id: Option<String>,
    /// As if it had been sent alone: 201 for a new device, 200 for one that is registered with the same data.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<BulkError>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkError {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// The outcomes of all items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkReply {
    succeeded: usize,
    failed: usize,
    items: Vec<BulkItem>,
    /// Highest position of them; absent if no event was stored, as on a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

/// Register many devices
///
/// A JSON array, or one JSON object per line (`application/x-ndjson`); up to 10,000. If items have no `device_id`, the request needs an
/// `Idempotency-Key`, so that it can be repeated. Needs role operator.
#[utoipa::path(
    post, path = "/devices/bulk", tag = "devices", request_body = Vec<DeviceRequest>, params(BulkHeaders),
    responses(
        (status = 200, description = "An outcome for each item", body = BulkReply),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register_devices(
    State(app): State<App>,
    Operator(caller): Operator,
    UnreadCommand(envelope): UnreadCommand,
    request: Request,
) -> Result<(HeaderMap, Json<BulkReply>), Problem> {
    let headers = request.headers().clone();
    if headers.contains_key(header::IF_MATCH) {
        return Err(Problem::bad_request("If-Match can't be used for many devices"));
    }
    let bytes = body::read(request, &app).await?;
    let items = split(&headers, &bytes)?;
    if items.len() > ITEMS_MAX {
        let detail = format!("at most {ITEMS_MAX} devices in one request");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    claim_key(&app, &caller, &envelope, &items).await?;
    let commands = items.into_iter().enumerate().map(|(index, item)| one(&app, &caller, envelope.item(index), item));
    let mut outcomes: Vec<Outcome> = futures::stream::iter(commands).buffered(IN_FLIGHT_MAX).collect().await;
    let is_away = |outcome: &Outcome| {
        outcome.result.as_ref().is_err_and(|problem| problem.status() == StatusCode::SERVICE_UNAVAILABLE)
    };
    if outcomes.iter().all(is_away)
        && let Some(Err(problem)) = outcomes.pop().map(|outcome| outcome.result)
    {
        return Err(problem);
    }
    let sequence = |outcome: &Outcome| outcome.result.as_ref().ok().map(|(_, sequence)| *sequence);
    let position = match outcomes.iter().filter_map(sequence).max() {
        Some(sequence) if !envelope.dry_run => Some(app.token(sequence).await?.to_string()),
        _ => None,
    };
    let items: Vec<BulkItem> = outcomes.into_iter().enumerate().map(|(index, outcome)| outcome.item(index)).collect();
    let failed = items.iter().filter(|item| item.error.is_some()).count();
    let named = position.as_deref().and_then(|position| HeaderValue::from_str(position).ok());
    let headers = named.map(|position| (POSITION_HEADER, position)).into_iter().collect();
    Ok((headers, Json(BulkReply { succeeded: items.len() - failed, failed, items, position })))
}

/// Binds the key to this list of devices.
async fn claim_key(app: &App, caller: &Caller, envelope: &Envelope, items: &[Vec<u8>]) -> Result<(), Problem> {
    if !envelope.has_key() {
        return Ok(());
    }
    let ids: Vec<GivenId> = items.iter().map(|item| serde_json::from_slice(item).unwrap_or_default()).collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|given| given.device_id.as_deref()).collect();
    let read = |item: &Vec<u8>| {
        serde_json::from_slice(item).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(item).into_owned()))
    };
    let items: Vec<Value> = items.iter().map(read).collect();
    key::claim_all(app, caller, envelope, &items, &ids).await
}

/// The items as sent, not yet parsed.
fn split(headers: &HeaderMap, bytes: &Bytes) -> Result<Vec<Vec<u8>>, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.contains("ndjson") {
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        return Ok(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect());
    }
    if !body::is_json(headers) {
        let detail = "the body must be application/json or application/x-ndjson";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    Ok(body::items(bytes)?.into_iter().map(|item| item.get().as_bytes().to_vec()).collect())
}

/// The outcome of one item: its id, the status of its reply, and the position of its event.
struct Outcome {
    id: Option<String>,
    result: Result<(StatusCode, u64), Problem>,
}

impl Outcome {
    fn item(self, index: usize) -> BulkItem {
        let error = self.result.as_ref().err().map(|problem| BulkError {
            kind: format!("/problems/{}", problem.code()),
            detail: problem.detail().to_owned(),
            errors: problem.errors().to_vec(),
        });
        let status = self.result.map_or_else(|problem| problem.status(), |(status, _)| status);
        BulkItem { index, id: self.id, status: status.as_u16(), error }
    }
}

async fn one(app: &App, caller: &Caller, envelope: Envelope, item: Vec<u8>) -> Outcome {
    let mut id = body::text_of(&item, "device_id");
    let registering = async {
        if item.len() > ITEM_MAX_BYTES {
            return Err(body::too_large());
        }
        let wanted: DeviceRequest = body::parse(&item)?;
        let envelope = envelope.digesting("/devices/bulk", &item)?;
        if wanted.device_id.is_none() && !envelope.has_key() {
            return Err(Problem::invalid("device_id", "is missing; without it the request needs an Idempotency-Key"));
        }
        create::register(app, caller, &envelope, wanted).await
    };
    let result = registering.await.map(|(registered, done)| {
        id = Some(registered.to_string());
        (done.created_status(), done.position.sequence)
    });
    Outcome { id, result }
}

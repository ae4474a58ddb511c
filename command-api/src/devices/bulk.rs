//! `POST /devices/bulk`: register up to 10,000 devices, each with an outcome of its own.
//!
//! Takes a JSON array or NDJSON. Each device is atomic; if the request is repeated, it gives the same outcomes. Commands are pipelined,
//! [`IN_FLIGHT_MAX`] at a time. An import uses [`register_all`] too.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;

use super::create::{self, DeviceRequest};
use super::key;
use crate::auth::Caller;
use crate::http::body;
use crate::http::outcomes::{self, Accepted, BulkHeaders, BulkReply, IN_FLIGHT_MAX, Outcome};
use crate::http::problem::ProblemBody;
use crate::http::{Envelope, Problem, UnreadCommand};
use crate::state::App;

/// Most devices of one request.
pub(super) const ITEMS_MAX: usize = 10_000;
/// Largest body, in bytes.
pub(crate) const BULK_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Largest item, in bytes.
pub(super) const ITEM_MAX_BYTES: usize = 256 * 1024;

/// An item's id; none if it has none that can be read.
#[derive(Default, Deserialize)]
struct GivenId {
    #[serde(default)]
    device_id: Option<String>,
}

/// A device to register, not yet parsed.
pub(super) struct Item {
    /// JSON as sent, or as written from a row.
    pub(super) json: Vec<u8>,
    /// The line of its row, in an import.
    pub(super) row: Option<usize>,
    /// Why its row can't be read.
    pub(super) refused: Option<Problem>,
}

/// Register many devices
///
/// A JSON array, or one JSON object per line (`application/x-ndjson`); up to 10,000. If items have no `device_id`, the request needs an
/// `Idempotency-Key`, so that it can be repeated.
#[utoipa::path(
    post, path = "/devices/bulk", tag = "devices", request_body = Vec<DeviceRequest>, params(BulkHeaders),
    responses(
        (status = 200, description = "An outcome for each item", body = BulkReply),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register_devices(
    State(app): State<App>,
    caller: Caller,
    UnreadCommand(envelope): UnreadCommand,
    request: Request,
) -> Result<(HeaderMap, Json<BulkReply>), Problem> {
    let headers = request.headers().clone();
    outcomes::without_if_match(&headers)?;
    let bytes = body::read(request, &app).await?;
    let items = split(&headers, &bytes)?.into_iter().map(|json| Item { json, row: None, refused: None }).collect();
    let outcomes = register_all(&app, &caller, &envelope, "/devices/bulk", items).await?;
    outcomes::reply(&app, &envelope, outcomes).await
}

/// Registers devices, each with an outcome of its own, in the order of the items. The caller has read at most [`ITEMS_MAX`] of them.
pub(super) async fn register_all(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    path: &str,
    items: Vec<Item>,
) -> Result<Vec<Outcome>, Problem> {
    claim_key(app, caller, envelope, &items).await?;
    let commands =
        items.into_iter().enumerate().map(|(index, item)| one(app, caller, envelope.item(index), path, item));
    Ok(futures::stream::iter(commands).buffered(IN_FLIGHT_MAX).collect().await)
}

/// 413 for more than [`ITEMS_MAX`] devices.
pub(super) fn too_many() -> Problem {
    let detail = format!("at most {ITEMS_MAX} devices in one request");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// Binds the key to this list of devices.
async fn claim_key(app: &App, caller: &Caller, envelope: &Envelope, items: &[Item]) -> Result<(), Problem> {
    if !envelope.has_key() {
        return Ok(());
    }
    let ids: Vec<GivenId> = items.iter().map(|item| serde_json::from_slice(&item.json).unwrap_or_default()).collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|given| given.device_id.as_deref()).collect();
    // What is too large is refused, and is not taken apart before.
    let read = |item: &Item| {
        let json = (item.json.len() <= ITEM_MAX_BYTES).then(|| serde_json::from_slice(&item.json).ok()).flatten();
        json.unwrap_or_else(|| Value::from(String::from_utf8_lossy(&item.json).into_owned()))
    };
    let items: Vec<Value> = items.iter().map(read).collect();
    key::claim_all(app, caller, envelope, &items, &ids).await
}

/// The items as sent, not yet parsed. 413 for more than [`ITEMS_MAX`].
fn split(headers: &HeaderMap, bytes: &Bytes) -> Result<Vec<Vec<u8>>, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.contains("ndjson") {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let items = lines.by_ref().take(ITEMS_MAX).map(<[u8]>::to_vec).collect();
        return if lines.next().is_none() { Ok(items) } else { Err(too_many()) };
    }
    if !body::is_json(headers) {
        let detail = "the body must be application/json or application/x-ndjson";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let items = body::items(bytes, ITEMS_MAX)?.ok_or_else(too_many)?;
    Ok(items.into_iter().map(|item| item.get().as_bytes().to_vec()).collect())
}

/// The id that an item gives.
fn id_of(json: &[u8]) -> Option<String> {
    match json.len() {
        ..=ITEM_MAX_BYTES => body::text_of(json, "device_id"),
        _ => serde_json::from_slice::<GivenId>(json).unwrap_or_default().device_id,
    }
}

async fn one(app: &App, caller: &Caller, envelope: Envelope, path: &str, item: Item) -> Outcome {
    let Item { json, row, refused } = item;
    let mut id = id_of(&json);
    let registering = async {
        if let Some(problem) = refused {
            return Err(problem);
        }
        if json.len() > ITEM_MAX_BYTES {
            return Err(body::too_large());
        }
        let wanted: DeviceRequest = body::parse(&json)?;
        let envelope = envelope.digesting(path, &json)?;
        if wanted.device_id.is_none() && !envelope.has_key() {
            return Err(Problem::invalid("device_id", "is missing; without it the request needs an Idempotency-Key"));
        }
        create::register(app, caller, &envelope, wanted).await
    };
    let result = registering.await.map(|(registered, done)| {
        id = Some(registered.to_string());
        Accepted { status: done.created_status(), update_id: None, sequence: done.position.sequence }
    });
    Outcome { id, row, result }
}

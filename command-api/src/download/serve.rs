//! `GET` and `HEAD /d/{token}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Key;
use domain::device::Device;
use domain::firmware::{Firmware, FirmwareBytes, FirmwareStatus};
use runtime::clock;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{self, Share};
use super::campaign::{campaign_of, device_under_way};
use super::counters::{CountedBy, Tally};
use super::proof;
use super::ranges::{Selection, select};
use super::redirect::to_bucket;
use crate::firmware::filename::attachment;
use crate::firmware::object_path;
use crate::http::problem::ProblemBody;
use crate::http::{Path, Problem};
use crate::links::{Download, LinkError};
use crate::state::App;

/// The client alone may keep the bytes, as they are.
const CACHED: &str = "private, no-transform";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    token: String,
}

/// Download a firmware
///
/// The link is the credential. Ranges (also several), `If-Range` and `HEAD` work; nothing is compressed. Where the installation is set so,
/// `GET` leads on to a bucket (302), to a link that is valid for at most a quarter of an hour.
#[utoipa::path(
    get, path = "/d/{token}", tag = "firmware", params(TokenPath),
    responses(
        (status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "Some of the bytes"),
        (status = 302, description = "The bytes are there"),
        (status = 403, description = "The link is not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "Expired, withdrawn or deleted, or its update has ended", body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "No such bytes", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The firmware store is away, or has other bytes than were uploaded", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn download(
    State(app): State<App>,
    Path(path): Path<TokenPath>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let link = app.links.read(&path.token, clock::now()).map_err(refused)?;
    if !app.tenants.get(&link.tenant).await?.lets_devices_in() {
        return Err(Problem::new(StatusCode::GONE, "tenant_closed", "the tenant is closed"));
    }
    let device = device_under_way(&app, &link).await?;
    let bytes = still_given_out(&app, &link, device.as_deref()).await?;
    let etag = format!("\"{}\"", bytes.sha256);
    if is_listed(&headers, header::IF_NONE_MATCH, &etag) {
        let headers = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, CACHED)];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let mut response = if method == Method::HEAD {
        with_length(StatusCode::OK, bytes.size, Body::empty())
    } else {
        let wanted = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        let fresh = !headers.contains_key(header::IF_RANGE) || is_listed(&headers, header::IF_RANGE, &etag);
        let tally = tally(&app, &link, device.as_deref());
        send(&app, &link, &bytes, select(wanted.filter(|_| fresh), bytes.size), tally).await?
    };
    // A client that keeps a redirect with the ETag of the bytes could validate it and follow the bucket's link after its end.
    if response.status() != StatusCode::FOUND {
        describe(response.headers_mut(), &etag, &bytes);
    }
    Ok(response)
}

fn refused(error: LinkError) -> Problem {
    match error {
        LinkError::Malformed | LinkError::Forged => Problem::forbidden(error.to_string()),
        LinkError::Expired => Problem::new(StatusCode::GONE, "link_expired", error.to_string()),
    }
}

async fn still_given_out(app: &App, link: &Download, device: Option<&Device>) -> Result<FirmwareBytes, Problem> {
    let key = Key::<Firmware>::new(&link.tenant, &link.firmware);
    let loaded = app.store.load_fresh(&key).await?;
    let update = device.and_then(|device| device.update(link.attempt.as_ref()?.ordinal));
    match (loaded.aggregate.status, &loaded.aggregate.content) {
        (status, Some((_, bytes))) if status.is_given_out(update) => Ok(bytes.clone()),
        (FirmwareStatus::Withdrawn | FirmwareStatus::Deleted, _) => {
            Err(Problem::new(StatusCode::GONE, "firmware_gone", "the firmware is no longer given out"))
        }
        (FirmwareStatus::Absent | FirmwareStatus::Active | FirmwareStatus::Deprecated, _) => {
            Err(Problem::not_found("no such firmware"))
        }
    }
}

async fn send(
    app: &App,
    link: &Download,
    bytes: &FirmwareBytes,
    selection: Selection,
    tally: Arc<Tally>,
) -> Result<Response, Problem> {
    let path = object_path(&link.tenant, &link.firmware, &bytes.sha256);
    let (size, sha256) = (bytes.size, &bytes.sha256);
    let transfer = || app.transfers.download(&link.tenant);
    if selection != Selection::Unsatisfiable
        && let Some(response) = to_bucket(app, &path, sha256, link.expires_at).await?
    {
        if selection.has_start() {
            tally.started();
        }
        return Ok(response);
    }
    match selection {
        Selection::Unsatisfiable => {
            let detail = format!("the firmware has {size} bytes");
            Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail).with_size(size))
        }
        Selection::Whole => {
            let whole = 0..size;
            let transfer = transfer()?;
            let chunks = body::open(app, &path, sha256, whole.clone()).await?;
            let share = Share::new(transfer, tally, std::slice::from_ref(&whole), size);
            Ok(with_length(StatusCode::OK, size, body::single(chunks, size, share)))
        }
        Selection::Parts(parts) if parts.len() == 1 => {
            let part = parts[0].clone();
            let transfer = transfer()?;
            let chunks = body::open(app, &path, sha256, part.clone()).await?;
            let share = Share::new(transfer, tally, &parts, size);
            let length = part.end - part.start;
            let mut response = with_length(StatusCode::PARTIAL_CONTENT, length, body::single(chunks, length, share));
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            set(response.headers_mut(), header::CONTENT_RANGE, &range);
            Ok(response)
        }
        Selection::Parts(parts) => {
            let boundary = clock::new_id().simple().to_string();
            let share = Share::new(transfer()?, tally, &parts, size);
            // The parts are opened one by one, when the head has been sent.
            proof::check(app, &path, sha256).await?;
            let (body, length) = body::multipart(app.clone(), path, *sha256, size, parts, &boundary, share);
            let mut response = with_length(StatusCode::PARTIAL_CONTENT, length, body);
            set(response.headers_mut(), header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
            Ok(response)
        }
    }
}

/// The tally of this download.
fn tally(app: &App, link: &Download, device: Option<&Device>) -> Arc<Tally> {
    let campaign = campaign_of(device, link);
    let device = link.attempt.as_ref().map(|attempt| attempt.device.clone());
    app.downloads.tally(CountedBy { tenant: link.tenant.clone(), firmware: link.firmware, campaign, device })
}

fn with_length(status: StatusCode, length: u64, body: Body) -> Response {
    (status, [(header::CONTENT_LENGTH, length)], body).into_response()
}

fn describe(headers: &mut HeaderMap, etag: &str, bytes: &FirmwareBytes) {
    set(headers, header::ETAG, etag);
    set(headers, header::ACCEPT_RANGES, "bytes");
    set(headers, header::CACHE_CONTROL, CACHED);
    if !headers.contains_key(header::CONTENT_TYPE) {
        set(headers, header::CONTENT_TYPE, "application/octet-stream");
    }
    set(headers, header::CONTENT_DISPOSITION, &attachment(bytes.filename.as_deref()));
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whether a header names the tag. A date, which `If-Range` may have, never does.
fn is_listed(headers: &HeaderMap, name: HeaderName, etag: &str) -> bool {
    let listed = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    listed.split(',').any(|tag| tag.trim() == etag)
}

//! Sends a download on to the bucket that has the bytes.
//!
//! A link to the bucket is made for each download. It is valid as long as our link, but at least half a minute and at most a quarter of an
//! hour. The bytes that the bucket then sends are compared by the device alone.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::values::Sha256Digest;
use object_store::path::Path as ObjectPath;
use runtime::clock;

use super::proof;
use crate::firmware::broken_store;
use crate::http::Problem;
use crate::state::App;

/// How long a bucket's link is valid at most.
const LIFETIME_MAX: Duration = Duration::from_secs(900);
/// How long it is valid at least: the request to the bucket comes after the answer.
const LIFETIME_MIN: Duration = Duration::from_secs(30);

/// The redirect to the bucket; none if downloads aren't redirected, or the bytes are in no bucket. No cache may keep it, because the bucket's
/// link ends soon.
pub(super) async fn to_bucket(
    app: &App,
    path: &ObjectPath,
    sha256: &Sha256Digest,
    expires_at: DateTime<Utc>,
) -> Result<Option<Response>, Problem> {
    if !app.config.redirect_downloads {
        return Ok(None);
    }
    proof::check(app, path, sha256).await?;
    let left = (expires_at - clock::now()).to_std().unwrap_or_default();
    let link = app.firmware_store.link(path, left.clamp(LIFETIME_MIN, LIFETIME_MAX)).await;
    let Some(link) = link.map_err(broken_store(app))? else { return Ok(None) };
    let headers = [(header::LOCATION, link.as_str()), (header::CACHE_CONTROL, "no-store")];
    Ok(Some((StatusCode::FOUND, headers).into_response()))
}

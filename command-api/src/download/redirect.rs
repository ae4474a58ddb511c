//! Sends a download on to the bucket that has the bytes.
//!
//! The bucket's link is made for each download and ends with ours, at most a quarter of an hour later. From then on the bucket is trusted:
//! only the device can say whether it got what it was told.

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

/// The answer that leads to the bucket; none if downloads aren't sent on, or the bytes are in no bucket.
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
    Ok(Some((StatusCode::FOUND, [(header::LOCATION, link.as_str())]).into_response()))
}

//! `GET /firmware/{id}/download`: a link to the bytes.

use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use domain::Key;
use domain::firmware::{Firmware, FirmwarePolicy, FirmwareStatus};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{FilterSet, Filters, MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// How long a link for an operator is valid by default, in seconds.
const LINK_TTL_S: u32 = 3_600;
/// The times that may be asked for.
const LINK_TTLS_S: RangeInclusive<u32> = 60..=86_400;

/// How long the link shall be valid.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkParams {
    /// Seconds
    #[param(default = 3_600, minimum = 60, maximum = 86_400)]
    expires_in: Option<u32>,
}

impl FilterSet for LinkParams {}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DownloadLink {
    download_url: String,
    expires_at: DateTime<Utc>,
    /// Bytes
    size: u64,
    filename: Option<String>,
    checksum_md5: String,
    checksum_sha1: String,
    checksum_sha256: String,
}

/// Get a link to a firmware's bytes
///
/// The link needs no credentials. It expires after an hour, or after `expires_in` seconds.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/download", tag = "firmware", params(FirmwarePath, LinkParams, PositionParams),
    responses(
        (status = 200, body = DownloadLink),
        (status = 409, description = "Withdrawn or deleted", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn firmware_download(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    Filters(wanted): Filters<LinkParams>,
    min_position: MinPosition,
) -> Result<Json<DownloadLink>, Problem> {
    let lifetime_s = wanted.expires_in.unwrap_or(LINK_TTL_S);
    if !LINK_TTLS_S.contains(&lifetime_s) {
        return Err(refused("expires_in", "is a number of seconds from 60 to 86400"));
    }
    min_position.of_this_log(&app).await?;
    let key = Key::<Firmware>::new(&caller.tenant, &path.firmware_id);
    let firmware = app.store.load_fresh(&key).await?.aggregate.clone();
    let bytes = match (firmware.status, &firmware.content) {
        (FirmwareStatus::Active | FirmwareStatus::Deprecated, Some((_, bytes))) => bytes.clone(),
        _ => {
            return Err(firmware
                .snapshot_for_new_work(path.firmware_id, &FirmwarePolicy::default())
                .err()
                .unwrap_or(domain::Rejection::FirmwareUnknown)
                .into());
        }
    };
    let expires_at = clock::now().trunc_subsecs(0) + TimeDelta::seconds(lifetime_s.into());
    Ok(Json(DownloadLink {
        download_url: app.links.link(&caller.tenant, &path.firmware_id, None, expires_at),
        expires_at,
        size: bytes.size,
        filename: bytes.filename,
        checksum_md5: bytes.md5,
        checksum_sha1: bytes.sha1,
        checksum_sha256: bytes.sha256.to_string(),
    }))
}

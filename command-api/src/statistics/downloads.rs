//! `GET /firmware/{id}/downloads`: who fetched a firmware, and when.

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use domain::Key;
use domain::firmware::{Firmware, FirmwareStatus};
use domain::tenant::Kept;
use projections::downloads::{DownloadGroup, DownloadedBy, grouped};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::grouping::grouped_by;
use crate::auth::Caller;
use crate::download::DownloadsBody;
use crate::http::path::FirmwarePath;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownloadParams {
    /// What to group by: `day`, `device`, or both, separated by a comma. By default `day`.
    #[param(example = "device,day")]
    group_by: Option<String>,
}

impl FilterSet for DownloadParams {}

/// Downloads with the same values. It has the fields that it is grouped by.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DownloadGroupBody {
    /// In UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<NaiveDate>,
    /// Empty for links that were made for no device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "d-1")]
    device_id: Option<String>,
    #[serde(flatten)]
    downloads: DownloadsBody,
}

impl From<DownloadGroup> for DownloadGroupBody {
    fn from(group: DownloadGroup) -> Self {
        Self { day: group.day, device_id: group.device_id, downloads: group.downloads.into() }
    }
}

/// List a firmware's downloads
///
/// In groups by day, by device, or by device and day, in this order. A few seconds old. Which device fetched a firmware is known for 400 days, or for
/// as many as the tenant has set (`retention.device_download_days`). These are counts of the processes that send the bytes; they are no part of the event log.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/downloads", tag = "statistics", params(FirmwarePath, DownloadParams, PageParams),
    responses((status = 200, body = List<DownloadGroupBody>))
)]
pub(crate) async fn firmware_downloads(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    Filters(params): Filters<DownloadParams>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<DownloadGroupBody>>, Problem> {
    let by = grouped_by(params.group_by.as_deref(), DownloadedBy::ALL, DownloadedBy::word)?;
    let is_by_both = by.len() == 2;
    let after = match is_by_both {
        true => paging.keys::<2>()?.map(|keys| keys.to_vec()),
        false => paging.keys::<1>()?.map(|keys| keys.to_vec()),
    };
    let after: Option<Vec<String>> = after.map(|keys| keys.into_iter().map(str::to_owned).collect());
    if by != [DownloadedBy::Device]
        && let Some(day) = after.as_ref().and_then(|keys| keys.last())
    {
        Paging::day(day)?;
    }
    min_position.of_this_log(&app).await?;
    let firmware = app.store.load_fresh(&Key::<Firmware>::new(&caller.tenant, &path.firmware_id)).await?;
    if firmware.aggregate.status == FirmwareStatus::Absent {
        return Err(Problem::not_found("no such firmware"));
    }
    let mut tx = app.db.read(&caller.tenant).await?;
    let devices_since = app.tenants.kept_since(&caller.tenant, Kept::DeviceDownloads).await?.date_naive();
    let page =
        grouped(&mut tx, &path.firmware_id, devices_since, &by, after.as_deref(), paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, DownloadGroupBody::from)))
}

//! `GET /campaigns/{id}/failures`: what the failed devices of a campaign have in common.

use axum::Json;
use axum::extract::State;
use projections::FLEET;
use projections::statistics::failures::{FailedBy, FailureGroup, failures};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::grouping::grouped_by;
use crate::auth::Caller;
use crate::campaigns;
use crate::http::path::CampaignPath;
use crate::http::{AsOf, FilterSet, Filters, MinPosition, Path, PositionParams, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureParams {
    /// What to group by: `code`, `hardware_version`, `from_version`, `wave`, or several of them, separated by commas. By default `code`.
    #[param(example = "code,hardware_version")]
    group_by: Option<String>,
}

impl FilterSet for FailureParams {}

/// Failed devices with the same values. It has the fields that it is grouped by.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct FailureGroupBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Of the devices when they failed; empty if it was not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_version: Option<String>,
    /// What the devices ran when their update was queued; empty if it was not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<u16>,
    devices: u64,
}

impl FailureGroupBody {
    fn of(by: &[FailedBy], group: FailureGroup) -> Self {
        let mut body = Self { devices: group.devices, ..Self::default() };
        for (by, value) in by.iter().zip(group.grouped) {
            match by {
                FailedBy::Code => body.code = Some(value),
                FailedBy::HardwareVersion => body.hardware_version = Some(value),
                FailedBy::FromVersion => body.from_version = Some(value),
                FailedBy::Wave => body.wave = value.parse().ok(),
            }
        }
        body
    }
}

/// The failed devices of a campaign, in groups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailuresBody {
    campaign_id: String,
    as_of: AsOf,
    /// Devices that are failed, as `failed` of the campaign's status.
    failed: u64,
    group_by: Vec<&'static str>,
    /// The largest groups first, at most 1,000.
    items: Vec<FailureGroupBody>,
    /// Failed devices in further groups.
    other_devices: u64,
}

/// Group a campaign's failed devices
///
/// Devices that are failed now: failed, timed out, rejected or fallen back. Those that try again or were confirmed later are not included.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/failures", tag = "statistics", params(CampaignPath, FailureParams, PositionParams),
    responses((status = 200, body = FailuresBody))
)]
pub(crate) async fn campaign_failures(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(params): Filters<FailureParams>,
    min_position: MinPosition,
) -> Result<Json<FailuresBody>, Problem> {
    let mut by = grouped_by(params.group_by.as_deref(), FailedBy::ALL, FailedBy::word)?;
    if by.is_empty() {
        by.push(FailedBy::Code);
    }
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let (mut tx, campaign) = campaigns::campaign_row(&app, &caller, path.campaign_id, &[FLEET]).await?;
    let found = failures(&mut tx, &path.campaign_id, &by).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    let shown: u64 = found.groups.iter().map(|group| group.devices).sum();
    Ok(Json(FailuresBody {
        campaign_id: campaign.campaign_id,
        as_of,
        failed: found.devices,
        group_by: by.iter().map(|by| by.word()).collect(),
        items: found.groups.into_iter().map(|group| FailureGroupBody::of(&by, group)).collect(),
        other_devices: found.devices.saturating_sub(shown),
    }))
}

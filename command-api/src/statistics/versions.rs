//! `GET /stats/versions`: how many devices run which version, now or at an earlier time.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::values::{FIRMWARE_COMPONENT, is_component};
use projections::FLEET;
use projections::devices::DeviceFilter;
use projections::statistics::populations::{GroupedBy, Population, minute_of, populations, populations_within};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::grouping::{grouped_by, limited};
use crate::access::reach;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{AsOf, FilterSet, Filters, MinPosition, PositionParams, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionParams {
    /// What to group by beside the version: `device_type`, `device_model`, `hardware_version`, or several of them, separated by commas.
    #[param(example = "device_model")]
    group_by: Option<String>,
    /// The component whose version is asked for; by default `firmware`.
    #[param(example = "firmware")]
    component: Option<String>,
    /// The numbers at this time, to the minute: what was decided before its minute is included. 422 for a time in the future.
    at: Option<DateTime<Utc>>,
}

impl FilterSet for VersionParams {}

/// Devices that run the same version. It has the fields that it is grouped by.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct VersionGroupBody {
    /// Null if it is not known what the devices run.
    #[schema(example = "2.0.0")]
    version: Option<String>,
    /// Here and below: empty if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_version: Option<String>,
    devices: u64,
}

impl VersionGroupBody {
    fn of(by: &[GroupedBy], group: Population) -> Self {
        let version = Some(group.version).filter(|version| !version.is_empty());
        let mut body = Self { version, devices: group.devices, ..Self::default() };
        for (by, value) in by.iter().zip(group.grouped) {
            match by {
                GroupedBy::DeviceType => body.device_type = Some(value),
                GroupedBy::DeviceModel => body.device_model = Some(value),
                GroupedBy::HardwareVersion => body.hardware_version = Some(value),
            }
        }
        body
    }
}

/// How many devices run which version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionStatsBody {
    as_of: AsOf,
    component: String,
    group_by: Vec<&'static str>,
    /// All devices, without decommissioned ones.
    devices: u64,
    /// The largest groups first, at most 1,000.
    items: Vec<VersionGroupBody>,
    /// Devices in further groups.
    other_devices: u64,
}

/// Count devices by version
///
/// Without decommissioned devices. With `at`, what devices ran then, by the model and hardware that they had then.
#[utoipa::path(
    get, path = "/stats/versions", tag = "statistics", params(VersionParams, PositionParams),
    responses(
        (status = 200, body = VersionStatsBody),
        (status = 422, description = "A time in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn version_stats(
    State(app): State<App>,
    caller: Caller,
    Filters(params): Filters<VersionParams>,
    min_position: MinPosition,
) -> Result<Json<VersionStatsBody>, Problem> {
    let by = grouped_by(params.group_by.as_deref(), GroupedBy::ALL, GroupedBy::word)?;
    let component = params.component.unwrap_or_else(|| FIRMWARE_COMPONENT.to_owned());
    if !is_component(&component) {
        return Err(refused("component", "is not a component's name"));
    }
    let at = params.at.map(past).transpose()?;
    if at.is_some() {
        limited(&caller, "the past of /stats/versions")?;
    }
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let within = match &caller.limits {
        Some(limits) => Some(reach::of(&app, &caller.tenant, caller.actor.id(), limits).await?),
        None => None,
    };
    let mut tx = app.db.read(&caller.tenant).await?;
    let found = match within {
        Some(reach) => {
            let filter = DeviceFilter { reach: Some(reach), ..DeviceFilter::default() };
            populations_within(&mut tx, &component, &filter, &by).await?
        }
        None => populations(&mut tx, &component, at, &by).await?,
    };
    let as_of = match at {
        Some(at) => AsOf::at(&app, &mut tx, minute_of(at)).await?,
        None => AsOf::now(&app, &mut tx).await?,
    };
    let shown: u64 = found.groups.iter().map(|group| group.devices).sum();
    Ok(Json(VersionStatsBody {
        as_of,
        component,
        group_by: by.iter().map(|by| by.word()).collect(),
        devices: found.devices,
        items: found.groups.into_iter().map(|group| VersionGroupBody::of(&by, group)).collect(),
        other_devices: found.devices.saturating_sub(shown),
    }))
}

/// Refuses a time in the future.
fn past(at: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    let now = clock::now();
    if minute_of(at) <= now {
        return Ok(at);
    }
    let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    Err(Problem::invalid("at", format!("is in the future: it is {now}")))
}

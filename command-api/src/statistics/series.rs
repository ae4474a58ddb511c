//! `GET /stats/versions/series`: how many devices ran which version over time, for a chart.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::values::{FIRMWARE_COMPONENT, is_component, is_usable_time};
use projections::FLEET;
use projections::statistics::series::{POINTS_MAX, Series, Step, series};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{AsOf, FilterSet, Filters, MinPosition, PositionParams, Problem};
use crate::state::App;

/// How long a series is that names no beginning.
const LENGTH_DEFAULT: TimeDelta = TimeDelta::days(30);
/// Most times of a series that names no step, or no beginning.
const POINTS_DEFAULT_MAX: u16 = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesParams {
    /// The first time; by default 30 days before `to`, or 200 steps if that is less. It is moved to the beginning of its minute, its hour or its day (UTC), as `step` asks.
    from: Option<DateTime<Utc>>,
    /// The last time; by default now. 422 for a time in the future.
    to: Option<DateTime<Utc>>,
    /// `1m`, `5m`, `15m`, `1h`, `6h`, `1d` or `7d`: at most 400 times. By default the shortest with at most 200.
    #[param(example = "1d")]
    step: Option<String>,
    /// The component whose version is asked for; by default `firmware`.
    #[param(example = "firmware")]
    component: Option<String>,
}

impl FilterSet for SeriesParams {}

/// The devices of one version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionLine {
    /// Null for devices of which it is not known what they run.
    #[schema(example = "2.0.0")]
    version: Option<String>,
    /// At each of `times`.
    devices: Vec<u64>,
}

/// How many devices ran which version over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionSeriesBody {
    as_of: AsOf,
    component: String,
    #[schema(example = "1d")]
    step: &'static str,
    step_s: i64,
    /// The last one is the minute of `to`, and may be less than a step after the one before.
    times: Vec<DateTime<Utc>>,
    /// The 20 versions with the most devices at any of the times.
    series: Vec<VersionLine>,
    /// Devices of all other versions, at each time.
    other: Vec<u64>,
    /// All devices, without decommissioned ones, at each time.
    devices: Vec<u64>,
}

/// Count devices by version over time
///
/// The numbers of `/stats/versions?at=`, at some times. A number has what was decided before its time.
#[utoipa::path(
    get, path = "/stats/versions/series", tag = "statistics", params(SeriesParams, PositionParams),
    responses(
        (status = 200, body = VersionSeriesBody),
        (status = 422, description = "A time in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn version_series(
    State(app): State<App>,
    caller: Caller,
    Filters(params): Filters<SeriesParams>,
    min_position: MinPosition,
) -> Result<Json<VersionSeriesBody>, Problem> {
    let component = params.component.unwrap_or_else(|| FIRMWARE_COMPONENT.to_owned());
    if !is_component(&component) {
        return Err(refused("component", "is not a component's name"));
    }
    let (from, to, step) = stretch(params.from, params.to, params.step.as_deref(), clock::now())?;
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let Series { times, versions, other, devices } = series(&mut tx, &component, from, to, step).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    let line = |(version, devices): (String, Vec<u64>)| {
        let version = Some(version).filter(|version| !version.is_empty());
        VersionLine { version, devices }
    };
    let series = versions.into_iter().map(line).collect();
    let (step, step_s) = (step.word(), step.length().num_seconds());
    Ok(Json(VersionSeriesBody { as_of, component, step, step_s, times, series, other, devices }))
}

/// The times of a series, and its step.
fn stretch(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    step: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>, Step), Problem> {
    for (name, time) in [("from", from), ("to", to)] {
        if time.is_some_and(|time| !is_usable_time(time)) {
            return Err(refused(name, "is too far away"));
        }
    }
    let to = to.unwrap_or(now);
    if to > now {
        let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        return Err(Problem::invalid("to", format!("is in the future: it is {now}")));
    }
    let known = |word| Step::ALL.into_iter().find(|step| step.word() == word).ok_or_else(unknown_step);
    let step = step.map(known).transpose()?;
    let longest = step.map_or(LENGTH_DEFAULT, |step| LENGTH_DEFAULT.min(step.length() * i32::from(POINTS_DEFAULT_MAX)));
    let from = from.unwrap_or(to - longest);
    if from > to {
        return Err(refused("from", "is after to"));
    }
    let fits = |step: &Step| step.points(from, to) <= POINTS_DEFAULT_MAX.into();
    let step = match step {
        None => Step::ALL.into_iter().find(fits).ok_or_else(|| refused("from", "is too long before to"))?,
        Some(step) => step,
    };
    match step.points(from, to) {
        points if points > POINTS_MAX => {
            Err(refused("step", &format!("makes {points} times, and {POINTS_MAX} are the most: take a longer one")))
        }
        _ => Ok((from, to, step)),
    }
}

fn unknown_step() -> Problem {
    refused("step", &format!("is one of {}", Step::ALL.map(Step::word).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_step_that_fits_and_no_more_times_than_allowed() {
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        let now = at("2030-03-31T12:00:30Z").unwrap();
        let told = |from, to, step| match stretch(from, to, step, now) {
            Ok((_, _, step)) => Ok(step.word()),
            Err(problem) => Err((problem.status().as_u16(), problem.errors()[0].field.clone())),
        };
        assert_eq!(told(None, None, None), Ok("6h"));
        assert_eq!(told(at("2030-03-31T11:00:00Z"), None, None), Ok("1m"));
        assert_eq!(told(at("2029-03-31T11:00:00Z"), None, None), Ok("7d"));
        assert_eq!(told(at("2029-03-31T11:00:00Z"), None, Some("1d")), Ok("1d"));
        assert_eq!(told(None, None, Some("1m")), Ok("1m"), "from a later time on");
        assert_eq!(told(at("2030-03-30T11:00:00Z"), None, Some("1m")), Err((400, "step".into())));
        assert_eq!(told(None, None, Some("2h")), Err((400, "step".into())));
        assert_eq!(told(at("1990-01-01T00:00:00Z"), None, None), Err((400, "from".into())));
        assert_eq!(told(at("2030-03-31T11:00:00Z"), at("2030-03-30T00:00:00Z"), None), Err((400, "from".into())));
        assert_eq!(told(None, at("2030-03-31T12:00:31Z"), None), Err((422, "to".into())));
    }
}

//! `GET /stats`: a tenant's devices, campaigns and updates now, and what happened on the latest days.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{NaiveDate, TimeDelta};
use domain::campaign::CampaignStatus;
use domain::device::{Lifecycle, Reachability};
use projections::FLEET;
use projections::downloads::{self, Downloads};
use projections::statistics::tenant::{StatisticsRow, statistics};
use projections::statistics::times::Times;
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::grouping::limited;
use crate::auth::Caller;
use crate::download::DownloadsBody;
use crate::http::query::refused;
use crate::http::{AsOf, FilterSet, Filters, MinPosition, PositionParams, Problem};
use crate::legacy_status::phases;
use crate::state::App;

/// Days of an answer that names none.
const DAYS_DEFAULT: i64 = 30;
/// Most days of an answer.
const DAYS_MAX: i64 = 366;
/// Phases of updates that have neither begun nor ended.
const WAITING: [&str; 2] = ["queued", "waiting"];
/// Outcomes that count as failed.
const FAILED: [&str; 3] = ["failed", "timed_out", "rejected"];
/// Of a confirmed update whose device has fallen back.
const REGRESSED: &str = "regressed";
const CONFIRMED: &str = "confirmed";
/// Outcomes beside these.
const OTHER_ENDS: [&str; 3] = ["expired", "superseded", "cancelled"];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsParams {
    /// The first day, in UTC; by default 29 days before `to`.
    #[param(example = "2030-03-01")]
    from: Option<NaiveDate>,
    /// The last day; by default today. At most 366 days.
    #[param(example = "2030-03-30")]
    to: Option<NaiveDate>,
}

impl FilterSet for StatsParams {}

impl StatsParams {
    fn days(&self) -> Result<(NaiveDate, NaiveDate), Problem> {
        let to = self.to.unwrap_or_else(|| clock::now().date_naive());
        let default = || to.checked_sub_signed(TimeDelta::days(DAYS_DEFAULT - 1)).unwrap_or(to);
        let from = self.from.unwrap_or_else(default);
        match (to - from).num_days() {
            0..DAYS_MAX => Ok((from, to)),
            _ => Err(refused("from", &format!("is a day before to, and at most {DAYS_MAX} days are shown"))),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceNumbers {
    /// Without decommissioned ones.
    total: u64,
    online: u64,
    offline: u64,
    never_seen: u64,
    decommissioned: u64,
}

/// How long something took, in seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimesBody {
    /// How often it ended.
    number: u64,
    average_s: Option<f64>,
    /// Half of them took this long at most. Percentiles are exact to 19 %.
    p50_s: Option<f64>,
    p95_s: Option<f64>,
}

impl From<&Times> for TimesBody {
    fn from(times: &Times) -> Self {
        let shown = |seconds: f64| (seconds * 1_000.0).round() / 1_000.0;
        Self {
            number: times.number,
            average_s: times.average_seconds().map(shown),
            p50_s: times.percentile_seconds(50).map(shown),
            p95_s: times.percentile_seconds(95).map(shown),
        }
    }
}

/// Updates or rollbacks in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Happened {
    requested: u64,
    confirmed: u64,
    /// Failed, timed out or rejected.
    failed: u64,
    /// Confirmed before, then fallen back.
    regressed: u64,
    /// Expired, superseded or cancelled.
    otherwise_ended: u64,
    /// Attempts beyond the first of each.
    retries: u64,
}

impl Happened {
    fn of(day: &StatisticsRow, kind: &str) -> Self {
        let count = |which: &str| day.count(kind, which);
        Self {
            requested: count("requested"),
            confirmed: count(CONFIRMED),
            failed: FAILED.into_iter().map(count).sum(),
            regressed: count(REGRESSED),
            otherwise_ended: OTHER_ENDS.into_iter().map(count).sum(),
            retries: count("retries"),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requested: self.requested + other.requested,
            confirmed: self.confirmed + other.confirmed,
            failed: self.failed + other.failed,
            regressed: self.regressed + other.regressed,
            otherwise_ended: self.otherwise_ended + other.otherwise_ended,
            retries: self.retries + other.retries,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DayBody {
    day: NaiveDate,
    updates: Happened,
    rollbacks: Happened,
    /// Of all firmware.
    downloads: DownloadsBody,
}

/// What happened on the days of the answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeriodBody {
    from: NaiveDate,
    to: NaiveDate,
    updates: Happened,
    rollbacks: Happened,
    /// confirmed / (confirmed and failed), in percent, of updates that ended on these days; null without any.
    success_rate: Option<f64>,
    failure_rate: Option<f64>,
    /// Rollbacks requested per day.
    rollbacks_per_day: f64,
    /// Bytes of firmware sent.
    bytes: u64,
    bytes_per_day: f64,
    /// How long updates stayed in each phase that they left, retries included; `total`: from the first `received` to the confirmation, without
    /// the time in which the update could not go on.
    times: BTreeMap<String, TimesBody>,
    /// Days on which nothing happened are left out.
    days: Vec<DayBody>,
}

/// A tenant's statistics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsBody {
    as_of: AsOf,
    devices: DeviceNumbers,
    /// Campaigns by status.
    campaigns: BTreeMap<String, u64>,
    /// Updates and rollbacks by phase, ended ones included.
    updates: BTreeMap<String, u64>,
    /// Of these, the ones that have begun and not ended.
    in_flight: u64,
    period: PeriodBody,
}

/// Get the tenant's statistics
///
/// Numbers of the present, and what happened on the days from `from` to `to`. A caller whose role holds only for some devices gets 403.
#[utoipa::path(
    get, path = "/stats", tag = "statistics", params(StatsParams, PositionParams),
    responses((status = 200, body = StatsBody))
)]
pub(crate) async fn tenant_stats(
    State(app): State<App>,
    caller: Caller,
    Filters(params): Filters<StatsParams>,
    min_position: MinPosition,
) -> Result<Json<StatsBody>, Problem> {
    limited(&caller, "/stats")?;
    let (from, to) = params.days()?;
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let found = statistics(&mut tx, from, to).await?;
    let sent = downloads::of_days(&mut tx, from, to).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    let updates = with_zeros(&found.now, "update", phases());
    let has_begun = |phase: &str| !WAITING.contains(&phase) && !is_end(phase);
    let statuses = CampaignStatus::all().filter(|status| *status != CampaignStatus::Absent).map(CampaignStatus::word);
    Ok(Json(StatsBody {
        as_of,
        devices: devices(&found.now),
        campaigns: with_zeros(&found.now, "campaign", statuses),
        in_flight: updates.iter().filter(|(phase, _)| has_begun(phase)).map(|(_, number)| number).sum(),
        updates,
        period: period(from, to, &found.days, sent),
    }))
}

fn is_end(phase: &str) -> bool {
    [CONFIRMED, REGRESSED].contains(&phase) || FAILED.contains(&phase) || OTHER_ENDS.contains(&phase)
}

fn devices(now: &StatisticsRow) -> DeviceNumbers {
    let count = |reachability: Reachability| now.count("device", reachability.word());
    let [online, offline, never_seen] =
        [Reachability::Online, Reachability::Offline, Reachability::NeverSeen].map(count);
    let decommissioned = now.count("device", Lifecycle::Decommissioned.word());
    DeviceNumbers { total: online + offline + never_seen, online, offline, never_seen, decommissioned }
}

fn with_zeros(now: &StatisticsRow, what: &str, words: impl Iterator<Item = &'static str>) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = words.map(|word| (word.to_owned(), 0)).collect();
    all.extend(now.counts_of(what).map(|(word, number)| (word.to_owned(), number)));
    all
}

fn period(from: NaiveDate, to: NaiveDate, rows: &[StatisticsRow], sent: BTreeMap<NaiveDate, Downloads>) -> PeriodBody {
    let mut days: BTreeMap<NaiveDate, DayBody> = BTreeMap::new();
    let mut day = |day: NaiveDate, change: &dyn Fn(&mut DayBody)| {
        let (updates, rollbacks, downloads) = Default::default();
        change(days.entry(day).or_insert(DayBody { day, updates, rollbacks, downloads }));
    };
    let mut times: BTreeMap<String, Times> = BTreeMap::new();
    for row in rows {
        let Ok(date) = row.period.parse::<NaiveDate>() else { continue };
        day(date, &|body| {
            (body.updates, body.rollbacks) = (Happened::of(row, "update"), Happened::of(row, "rollback"));
        });
        for (phase, more) in &row.times {
            times.entry(phase.clone()).or_default().merge(more);
        }
    }
    for (date, downloads) in sent {
        day(date, &|body| body.downloads = downloads.into());
    }
    let sum = |of: fn(&DayBody) -> Happened| days.values().map(of).fold(Happened::default(), Happened::plus);
    let (updates, rollbacks) = (sum(|day| day.updates), sum(|day| day.rollbacks));
    let bytes = days.values().map(|day| day.downloads.bytes).sum();
    let ended = updates.confirmed + updates.failed;
    let number = ((to - from).num_days() + 1) as f64;
    PeriodBody {
        from,
        to,
        updates,
        rollbacks,
        success_rate: percent(updates.confirmed, ended),
        failure_rate: percent(updates.failed, ended),
        rollbacks_per_day: rollbacks.requested as f64 / number,
        bytes,
        bytes_per_day: bytes as f64 / number,
        times: times.iter().map(|(phase, times)| (phase.clone(), times.into())).collect(),
        days: days.into_values().collect(),
    }
}

/// With one decimal; none if the total is zero.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 1_000.0 / whole as f64).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> Result<i64, u16> {
        let params = StatsParams { from: from.parse().ok(), to: to.parse().ok() };
        let days = params.days().map_err(|problem| problem.status().as_u16())?;
        Ok((days.1 - days.0).num_days() + 1)
    }

    #[test]
    fn days_are_bounded() {
        assert_eq!(days("", ""), Ok(DAYS_DEFAULT));
        assert_eq!(days("", "2030-03-30"), Ok(DAYS_DEFAULT));
        assert_eq!(days("2030-03-30", "2030-03-30"), Ok(1));
        assert_eq!(days("2028-01-01", "2028-12-31"), Ok(DAYS_MAX));
        assert_eq!(days("2028-01-01", "2029-01-01"), Err(400));
        assert_eq!(days("2030-03-31", "2030-03-30"), Err(400));
    }
}

//! Table `device_populations`: how many devices run each version, now and at each minute of the past.
//!
//! A row has by how much that changed in a span of time. The number at a time is the sum over the whole months before it, the days before it
//! of its month, the hours of its day and the minutes of its hour: at most some 130 rows of each kind of devices, and 12 more for each year.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use domain::values::FIRMWARE_COMPONENT;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::standing::Kind;
use crate::db::{DbError, ReadTx};
use crate::fleet::device_queries::{DeviceFilter, apply_filter, source};
use crate::row::row;
use crate::table::Select;

/// Most groups of an answer: those with the most devices.
pub const GROUPS_MAX: usize = 1_000;

/// By how much the number of such devices changed in a span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PopulationRow {
    tenant: String,
    component: String,
    span: String,
    since_s: i64,
    device_type: String,
    device_model: String,
    hardware_version: String,
    version: String,
    pub(super) devices: i64,
}

row! {
    PopulationRow = "device_populations" key {
        tenant: "text", component: "text", span: "text", since_s: "bigint", device_type: "text", device_model: "text",
        hardware_version: "text", version: "text",
    }
    columns { devices }
    json { }
}

/// When the spans begin that a time is in.
struct Spans {
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
}

impl Spans {
    fn of(at: DateTime<Utc>) -> Self {
        let minute = at - TimeDelta::seconds(at.second().into()) - TimeDelta::nanoseconds(at.nanosecond().into());
        let hour = minute - TimeDelta::minutes(at.minute().into());
        let day = hour - TimeDelta::hours(at.hour().into());
        let month = day - TimeDelta::days(at.day0().into());
        let s = |time: DateTime<Utc>| time.timestamp();
        Self { month: s(month), day: s(day), hour: s(hour), minute: s(minute) }
    }
}

/// The rows that a change at this time adds to, with no devices yet.
pub(super) fn places(tenant: &str, component: &str, kind: &Kind, version: &str, at_s: i64) -> [PopulationRow; 5] {
    let spans = Spans::of(DateTime::from_timestamp(at_s, 0).unwrap_or_default());
    let all = [("all", 0), ("month", spans.month), ("day", spans.day), ("hour", spans.hour), ("minute", spans.minute)];
    all.map(|(span, since_s)| PopulationRow {
        tenant: tenant.to_owned(),
        component: component.to_owned(),
        span: span.to_owned(),
        since_s,
        device_type: kind.device_type.clone(),
        device_model: kind.device_model.clone(),
        hardware_version: kind.hardware_version.clone(),
        version: version.to_owned(),
        devices: 0,
    })
}

/// What devices are grouped by, beside their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupedBy {
    DeviceType,
    DeviceModel,
    HardwareVersion,
}

impl GroupedBy {
    pub const ALL: [Self; 3] = [Self::DeviceType, Self::DeviceModel, Self::HardwareVersion];

    /// Its name as a parameter, and the column.
    pub fn word(self) -> &'static str {
        match self {
            Self::DeviceType => "device_type",
            Self::DeviceModel => "device_model",
            Self::HardwareVersion => "hardware_version",
        }
    }
}

/// Devices that run one version and have the rest in common, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// Empty if not known.
    pub version: String,
    /// In the order of what they are grouped by. Empty if not known.
    pub grouped: Vec<String>,
    pub devices: u64,
}

/// The largest groups, and how many devices there are in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Populations {
    pub groups: Vec<Population>,
    pub devices: u64,
}

/// The latest minute that has begun at `at`: what happened before it is counted for `at`.
pub fn minute_of(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(Spans::of(at).minute, 0).unwrap_or(at)
}

/// When the minute, the hour or the day of a time began.
pub(super) fn span_begin(at: DateTime<Utc>, span: &str) -> DateTime<Utc> {
    let Spans { day, hour, minute, .. } = Spans::of(at);
    let since_s = match span {
        "minute" => minute,
        "hour" => hour,
        _ => day,
    };
    DateTime::from_timestamp(since_s, 0).unwrap_or(at)
}

const OF_SPANS: &str = "((span = 'month' AND since_s < $2)
    OR (span = 'day' AND since_s >= $2 AND since_s < $3)
    OR (span = 'hour' AND since_s >= $3 AND since_s < $4)
    OR (span = 'minute' AND since_s >= $4 AND since_s < $5))";

/// Which versions the tenant's devices ran before the minute of `at`, or run now.
pub async fn populations(
    tx: &mut ReadTx,
    component: &str,
    at: Option<DateTime<Utc>>,
    by: &[GroupedBy],
) -> Result<Populations, DbError> {
    let columns: Vec<&str> = ["version"].into_iter().chain(by.iter().map(|by| by.word())).collect();
    let columns = columns.join(", ");
    let spans =
        if at.is_some() { OF_SPANS } else { "span = 'all' AND $2::bigint + $3::bigint + $4::bigint + $5::bigint = 0" };
    let sql = format!(
        "SELECT {columns}, sum(devices)::bigint, (sum(sum(devices)) OVER ())::bigint
         FROM device_populations WHERE component = $1 AND {spans}
         GROUP BY {columns} HAVING sum(devices) > 0 ORDER BY sum(devices) DESC, {columns} LIMIT {GROUPS_MAX}"
    );
    let spans = at.map_or(Spans { month: 0, day: 0, hour: 0, minute: 0 }, Spans::of);
    let query = sqlx::query(&sql).bind(component).bind(spans.month).bind(spans.day).bind(spans.hour).bind(spans.minute);
    read(&query.fetch_all(&mut *tx.0).await?, by)
}

/// The same, now, of the devices that a caller with limited grants may see: these are counted one by one, as for a list's `total`.
pub async fn populations_within(
    tx: &mut ReadTx,
    component: &str,
    filter: &DeviceFilter,
    by: &[GroupedBy],
) -> Result<Populations, DbError> {
    let mut select = Select::new(String::new(), source(filter), "");
    apply_filter(tx, &mut select, filter).await?;
    if component != FIRMWARE_COMPONENT {
        select.filter("t.versions ? ($ #>> '{}')", component);
    }
    let grouped = by.iter().map(|by| format!("t.{}", by.word()));
    let columns: Vec<String> = ["t.versions ->> $".to_owned()].into_iter().chain(grouped).collect();
    let rows = select.grouped(tx, &columns, component, GROUPS_MAX).await?;
    read(&rows, by)
}

fn read(rows: &[PgRow], by: &[GroupedBy]) -> Result<Populations, DbError> {
    let mut found = Populations::default();
    for row in rows {
        let text = |column: usize| row.try_get::<Option<String>, _>(column).map(Option::unwrap_or_default);
        let grouped = (1..=by.len()).map(text).collect::<Result<Vec<_>, _>>()?;
        let number = |column: usize| row.try_get::<i64, _>(column).map(|number| number.max(0) as u64);
        found.groups.push(Population { version: text(0)?, grouped, devices: number(by.len() + 1)? });
        found.devices = number(by.len() + 2)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_a_month_a_day_an_hour_and_a_minute() {
        let at: DateTime<Utc> = "2028-02-29T23:59:59.999Z".parse().unwrap();
        let spans = Spans::of(at);
        let time = |s| DateTime::from_timestamp(s, 0).unwrap().to_rfc3339();
        assert_eq!(time(spans.month), "2028-02-01T00:00:00+00:00");
        assert_eq!(time(spans.day), "2028-02-29T00:00:00+00:00");
        assert_eq!(time(spans.hour), "2028-02-29T23:00:00+00:00");
        assert_eq!(time(spans.minute), "2028-02-29T23:59:00+00:00");
        assert_eq!(minute_of(at).timestamp(), spans.minute);
        let before: DateTime<Utc> = "1969-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(time(Spans::of(before).day), "1969-12-31T00:00:00+00:00");
    }
}

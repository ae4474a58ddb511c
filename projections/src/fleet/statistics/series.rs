//! How many devices ran which version at each of some times: the number at the first time, and the changes after it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row as _;

use super::populations::{minute_of, populations, span_begin};
use crate::db::{DbError, ReadTx};

/// Most times of a series.
pub const POINTS_MAX: usize = 400;
/// Most versions that a series shows one by one.
pub const VERSIONS_MAX: usize = 20;

/// The distance of two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Minute,
    FiveMinutes,
    QuarterOfAnHour,
    Hour,
    SixHours,
    Day,
    Week,
}

impl Step {
    /// The shortest first.
    pub const ALL: [Self; 7] =
        [Self::Minute, Self::FiveMinutes, Self::QuarterOfAnHour, Self::Hour, Self::SixHours, Self::Day, Self::Week];

    pub fn word(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::QuarterOfAnHour => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "1d",
            Self::Week => "7d",
        }
    }

    pub fn length(self) -> TimeDelta {
        match self {
            Self::Minute => TimeDelta::minutes(1),
            Self::FiveMinutes => TimeDelta::minutes(5),
            Self::QuarterOfAnHour => TimeDelta::minutes(15),
            Self::Hour => TimeDelta::hours(1),
            Self::SixHours => TimeDelta::hours(6),
            Self::Day => TimeDelta::days(1),
            Self::Week => TimeDelta::days(7),
        }
    }

    /// The spans of the sums that it is made of. A step is a whole number of them.
    fn span(self) -> &'static str {
        match self {
            Self::Minute | Self::FiveMinutes | Self::QuarterOfAnHour => "minute",
            Self::Hour | Self::SixHours => "hour",
            Self::Day | Self::Week => "day",
        }
    }

    /// The first time of a series that begins at `from`: when the minute, the hour or the day began.
    pub fn begin(self, from: DateTime<Utc>) -> DateTime<Utc> {
        span_begin(from, self.span())
    }

    /// How many times there are from `from` to `to`.
    pub fn points(self, from: DateTime<Utc>, to: DateTime<Utc>) -> usize {
        let whole = (to - self.begin(from)).num_seconds() / self.length().num_seconds();
        usize::try_from(whole).map_or(0, |whole| whole.saturating_add(1))
    }
}

/// Devices at each time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    pub times: Vec<DateTime<Utc>>,
    /// Versions with the most devices at any of the times, the largest first; the empty text for devices that haven't said what they run.
    pub versions: Vec<(String, Vec<u64>)>,
    /// All other versions together.
    pub other: Vec<u64>,
    /// All devices.
    pub devices: Vec<u64>,
}

/// Which versions of a component the tenant's devices ran from [`Step::begin`] on, at most [`POINTS_MAX`] times, and at last at the minute of
/// `to`. A number has what was decided before its time.
pub async fn series(
    tx: &mut ReadTx,
    component: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: Step,
) -> Result<Series, DbError> {
    let (begin, length, points) = (step.begin(from), step.length(), step.points(from, to).min(POINTS_MAX));
    let mut times: Vec<_> = (0..points).map(|n| begin + length * i32::try_from(n).unwrap_or(i32::MAX)).collect();
    let Some(end) = times.last().copied() else { return Ok(Series::default()) };
    let mut changes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut add = |version: String, point: usize, devices: i64| {
        if let Some(sum) = changes.entry(version).or_insert_with(|| vec![0; points]).get_mut(point) {
            *sum += devices;
        }
    };
    for group in populations(tx, component, Some(begin), &[]).await?.groups {
        add(group.version, 0, i64::try_from(group.devices).unwrap_or(i64::MAX));
    }
    // What is decided in a step is in the number at its end.
    let sql = "SELECT version, ((since_s - $3) / $5)::bigint + 1, sum(devices)::bigint FROM device_populations
         WHERE component = $1 AND span = $2 AND since_s >= $3 AND since_s < $4 GROUP BY 1, 2";
    let query = sqlx::query(sql).bind(component).bind(step.span());
    let query = query.bind(begin.timestamp()).bind(end.timestamp()).bind(length.num_seconds());
    for row in query.fetch_all(&mut *tx.0).await? {
        let point: i64 = row.try_get(1)?;
        add(row.try_get(0)?, usize::try_from(point).unwrap_or(usize::MAX), row.try_get(2)?);
    }
    let mut numbers: BTreeMap<_, _> = changes.into_iter().map(|(version, all)| (version, running(all))).collect();
    let last = minute_of(to);
    if last > end {
        times.push(last);
        let groups = populations(tx, component, Some(last), &[]).await?.groups;
        let mut latest: BTreeMap<_, _> = groups.into_iter().map(|group| (group.version, group.devices)).collect();
        for (version, all) in &mut numbers {
            all.push(latest.remove(version).unwrap_or(0));
        }
        let new = |(version, devices)| (version, [vec![0; points], vec![devices]].concat());
        numbers.extend(latest.into_iter().map(new));
    }
    Ok(Series::of(times, numbers))
}

/// The numbers after each change.
fn running(changes: Vec<i64>) -> Vec<u64> {
    let sums = changes.into_iter().scan(0, |sum: &mut i64, change| {
        *sum += change;
        Some((*sum).max(0) as u64)
    });
    sums.collect()
}

impl Series {
    fn of(times: Vec<DateTime<Utc>>, numbers: BTreeMap<String, Vec<u64>>) -> Self {
        let mut versions: Vec<_> = numbers.into_iter().collect();
        versions.retain(|(_, numbers)| numbers.iter().any(|number| *number > 0));
        versions.sort_by_key(|(_, numbers)| std::cmp::Reverse(numbers.iter().copied().max()));
        let total = |all: &[(String, Vec<u64>)]| {
            (0..times.len()).map(|n| all.iter().map(|(_, numbers)| numbers[n]).sum()).collect::<Vec<u64>>()
        };
        let devices = total(&versions);
        let others = versions.split_off(versions.len().min(VERSIONS_MAX));
        let other = total(&others);
        Self { times, versions, other, devices }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_begins_with_a_whole_span_and_has_its_end() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (from, to) = (at("2028-02-29T22:40:30Z"), at("2028-03-01T01:10:00Z"));
        assert_eq!((Step::Hour.begin(from), Step::Hour.points(from, to)), (at("2028-02-29T22:00:00Z"), 4));
        assert_eq!((Step::Day.begin(from), Step::Day.points(from, to)), (at("2028-02-29T00:00:00Z"), 2));
        assert_eq!((Step::Minute.begin(from), Step::Minute.points(from, to)), (at("2028-02-29T22:40:00Z"), 151));
        assert_eq!(Step::Hour.points(to, from), 0);
    }

    #[test]
    fn small_versions_are_shown_together() {
        let times = vec![DateTime::UNIX_EPOCH; 2];
        let of = |n: i64| (format!("{n}"), running(vec![n, 1]));
        let series = Series::of(times, (0..30).map(of).collect());
        assert_eq!(series.versions.len(), VERSIONS_MAX);
        assert_eq!(series.versions[0], ("29".to_owned(), vec![29, 30]));
        assert_eq!(series.devices, [29 * 30 / 2, 29 * 30 / 2 + 30]);
        let shown: u64 = series.versions.iter().map(|(_, numbers)| numbers[0]).sum();
        assert_eq!(series.other[0] + shown, series.devices[0]);
    }
}

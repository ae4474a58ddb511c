//! The instants at which windows open and close.
//!
//! A window opens at the first instant at which the local clock shows its start or a later time, and closes in the same way. So a time
//! that the clock skips is the next instant, and a time that the clock shows twice counts once, the first time. A duration is elapsed time.
//! Windows that overlap or touch are one.

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::{ClockTime, Day, MINUTES_PER_DAY, MaintenanceWindow, MaintenanceWindows};

/// How far the first look goes. Most answers are near.
const NEAR: TimeDelta = TimeDelta::hours(12);
/// How far each further look goes. Each window opens on one of 7 days.
const PAGE: TimeDelta = TimeDelta::days(8);
/// Most looks for one answer: about 10 years.
const PAGES_MAX: u32 = 460;
/// A window that is open at a time opened at most this long before: a day, with room for changes of the clock.
const LONGEST: TimeDelta = TimeDelta::hours(50);
/// No zone is further from UTC.
const OFFSET_MAX: TimeDelta = TimeDelta::hours(30);

/// Whether windows are open at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// There are no windows.
    Always,
    /// Open, and closed from `until` on.
    Open { until: DateTime<Utc> },
    /// Closed, and open from `until` on.
    Closed { until: DateTime<Utc> },
}

impl Opening {
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Closed { .. })
    }
}

type Span = (DateTime<Utc>, DateTime<Utc>);

impl MaintenanceWindows {
    /// Whether they are open at `now` for a device with this zone. Windows that never close count as open for a few days more.
    pub fn at(&self, zone: Option<&str>, now: DateTime<Utc>) -> Opening {
        if self.is_empty() {
            return Opening::Always;
        }
        let (mut from, mut length) = (now, NEAR);
        for _ in 0..PAGES_MAX {
            let end = from + length;
            match self.spans(zone, from, end).first() {
                Some((opens, _)) if *opens > now => return Opening::Closed { until: *opens },
                // Another one may follow at once.
                Some((_, closes)) if *closes >= end && length == NEAR => {}
                Some((_, closes)) => return Opening::Open { until: *closes },
                None => from = end,
            }
            length = PAGE;
        }
        Opening::Closed { until: from }
    }

    /// For how long they are open from `from` to `to`.
    pub fn open_between(&self, zone: Option<&str>, from: DateTime<Utc>, to: DateTime<Utc>) -> TimeDelta {
        if self.is_empty() || to <= from {
            return (to - from).max(TimeDelta::zero());
        }
        self.spans(zone, from, to).into_iter().map(|(opens, closes)| closes.min(to) - opens.max(from)).sum()
    }

    /// When they have been open for `needed` since `from`.
    pub fn after_open(&self, zone: Option<&str>, from: DateTime<Utc>, needed: TimeDelta) -> DateTime<Utc> {
        let latest = from + NEAR + PAGE * PAGES_MAX as i32;
        self.after_open_by(zone, from, needed, latest.max(from + needed)).unwrap_or(latest)
    }

    /// The same; none if that is after `latest`. Nothing after that is looked at.
    pub fn after_open_by(
        &self,
        zone: Option<&str>,
        from: DateTime<Utc>,
        needed: TimeDelta,
        latest: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if self.is_empty() || needed <= TimeDelta::zero() {
            return Some(from + needed).filter(|at| *at <= latest);
        }
        let (mut left, mut begin, mut length) = (needed, from, NEAR);
        for _ in 0..=PAGES_MAX {
            if begin > latest {
                break;
            }
            let end = begin + length;
            for (opens, closes) in self.spans(zone, begin, end) {
                let (opens, closes) = (opens.max(begin), closes.min(end));
                if closes - opens >= left {
                    return Some(opens + left).filter(|at| *at <= latest);
                }
                left -= closes - opens;
            }
            (begin, length) = (end, PAGE);
        }
        None
    }

    /// When they are open between two times, in order. The first and the last span may reach beyond.
    fn spans(&self, zone: Option<&str>, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Span> {
        let mut all: Vec<Span> = self.0.iter().flat_map(|window| window.spans(window.zone(zone), from, to)).collect();
        all.sort_unstable();
        let mut merged: Vec<Span> = Vec::with_capacity(all.len());
        for (opens, closes) in all {
            match merged.last_mut() {
                Some(last) if opens <= last.1 => last.1 = last.1.max(closes),
                _ => merged.push((opens, closes)),
            }
        }
        merged.retain(|(opens, closes)| *closes > from && *opens < to);
        merged
    }
}

impl MaintenanceWindow {
    /// Its openings that may concern the time between `from` and `to`, without those that the clock skips altogether.
    fn spans(&self, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Span> {
        let first = (from - LONGEST).with_timezone(&zone).date_naive();
        let last = to.with_timezone(&zone).date_naive();
        let days = first.iter_days().take_while(|day| *day <= last).filter(|day| self.days.contains(&Day::of(*day)));
        days.map(|day| self.on(zone, day)).filter(|(opens, closes)| opens < closes).collect()
    }

    /// Its opening on a day.
    fn on(&self, zone: Tz, day: NaiveDate) -> Span {
        let opens = first_instant(zone, at(day, self.start));
        let closes = match (self.end, self.duration_minutes) {
            (Some(end), _) if end > self.start => first_instant(zone, at(day, end)),
            (Some(end), _) => first_instant(zone, at(day, end) + TimeDelta::minutes(MINUTES_PER_DAY.into())),
            (None, minutes) => opens + TimeDelta::minutes(minutes.unwrap_or(0).into()),
        };
        (opens, closes)
    }
}

impl Day {
    fn of(date: NaiveDate) -> Self {
        let index = date.weekday().num_days_from_monday();
        <Self as strum::VariantArray>::VARIANTS[index as usize]
    }
}

fn at(day: NaiveDate, time: ClockTime) -> NaiveDateTime {
    day.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(time.minutes().into())
}

/// The first instant at which the local clock shows this time or a later one.
fn first_instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(time) => time.to_utc(),
        MappedLocalTime::Ambiguous(one, other) => one.min(other).to_utc(),
        MappedLocalTime::None => end_of_gap(zone, local),
    }
}

/// The instant at which the local clock skips this time.
fn end_of_gap(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    let (mut before, mut after) = (local.and_utc() - OFFSET_MAX, local.and_utc() + OFFSET_MAX);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if middle.with_timezone(&zone).naive_local() < local { before = middle } else { after = middle }
    }
    after
}

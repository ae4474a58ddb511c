//! Windows over zones and changes of the clock, compared with a clock that is read minute by minute.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::collection::{hash_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::*;

fn windows(of: serde_json::Value) -> MaintenanceWindows {
    let windows: MaintenanceWindows = serde_json::from_value(of).unwrap();
    assert_eq!(windows.violations(), []);
    windows
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn a_day_names_the_day_on_which_the_window_opens() {
    let night = windows(json!([{"days": ["friday"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}]));
    // Friday, 30 January 2026. Berlin is one hour ahead.
    let (opens, closes) = (utc("2026-01-30T21:00:00Z"), utc("2026-01-31T03:00:00Z"));
    assert_eq!(night.at(None, utc("2026-01-30T12:00:00Z")), Opening::Closed { until: opens });
    assert_eq!(night.at(None, opens), Opening::Open { until: closes });
    assert_eq!(night.at(None, utc("2026-01-31T02:59:59Z")), Opening::Open { until: closes });
    assert_eq!(night.at(None, closes), Opening::Closed { until: opens + TimeDelta::days(7) });
}

#[test]
fn a_start_that_the_clock_skips_is_the_next_instant() {
    let of = |start: &str, end: serde_json::Value| {
        let mut window = json!([{"days": ["sunday"], "start": start, "timezone": "Europe/Berlin"}]);
        let field = if end.is_string() { "end" } else { "duration_minutes" };
        window[0][field] = end;
        windows(window)
    };
    // On 29 March 2026 the clock goes from 02:00 to 03:00, which is 01:00 UTC.
    let skip = utc("2026-03-29T01:00:00Z");
    let before = skip - TimeDelta::hours(1);
    let opens = of("02:30", json!("03:30"));
    assert_eq!(opens.at(None, before), Opening::Closed { until: skip });
    assert_eq!(opens.at(None, skip), Opening::Open { until: skip + TimeDelta::minutes(30) });
    let lasts = of("02:30", json!(60));
    assert_eq!(lasts.at(None, skip), Opening::Open { until: skip + TimeDelta::minutes(60) });
    let skipped = of("02:15", json!("02:45"));
    assert_eq!(skipped.at(None, before), Opening::Closed { until: utc("2026-04-05T00:15:00Z") });
}

#[test]
fn a_time_that_the_clock_shows_twice_counts_once() {
    let night = windows(json!([{"days": ["sunday"], "start": "02:15", "end": "02:45", "timezone": "Europe/Berlin"}]));
    // On 25 October 2026 the clock shows 02:00 to 03:00 from 00:00 UTC and again from 01:00 UTC.
    let first = utc("2026-10-25T00:15:00Z");
    assert_eq!(night.at(None, first - TimeDelta::minutes(1)), Opening::Closed { until: first });
    assert_eq!(night.at(None, first), Opening::Open { until: first + TimeDelta::minutes(30) });
    let second = first + TimeDelta::hours(1);
    assert_eq!(night.at(None, second), Opening::Closed { until: utc("2026-11-01T01:15:00Z") });
}

#[test]
fn a_window_in_the_devices_zone_opens_for_each_device_at_its_time() {
    let night = windows(json!([{"days": ["monday"], "start": "01:00", "end": "02:00", "timezone": "device",
        "default_timezone": "Asia/Kolkata"}]));
    let noon = utc("2026-06-07T12:00:00Z");
    let opens = |zone: Option<&str>| night.at(zone, noon);
    assert_eq!(opens(Some("Asia/Tokyo")), Opening::Closed { until: utc("2026-06-07T16:00:00Z") });
    assert_eq!(opens(Some("America/Los_Angeles")), Opening::Closed { until: utc("2026-06-08T08:00:00Z") });
    let of_default = Opening::Closed { until: utc("2026-06-07T19:30:00Z") };
    assert_eq!((opens(None), opens(Some("Mars/Olympus"))), (of_default, of_default));
}

#[test]
fn open_time_is_counted_without_the_time_between_windows() {
    let daily = windows(json!([{"days": ["monday", "tuesday"], "start": "10:00", "end": "12:00"}]));
    let monday = utc("2026-06-08T11:00:00Z");
    assert_eq!(daily.open_between(None, monday, monday + TimeDelta::days(1)), TimeDelta::hours(2));
    assert_eq!(daily.after_open(None, monday, TimeDelta::minutes(90)), utc("2026-06-09T10:30:00Z"));
    assert_eq!(daily.after_open(None, monday, TimeDelta::hours(4)), utc("2026-06-15T11:00:00Z"));
    let none = MaintenanceWindows::default();
    assert_eq!(none.after_open(None, monday, TimeDelta::hours(4)), monday + TimeDelta::hours(4));
    assert_eq!(none.at(None, monday), Opening::Always);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let broken = |of: serde_json::Value| {
        let mut window = json!({"days": ["monday"], "start": "10:00", "end": "11:00"});
        for (field, value) in of.as_object().unwrap() {
            window[field] = value.clone();
        }
        let window: MaintenanceWindow = serde_json::from_value(window).unwrap();
        window.violations().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(broken(json!({})), Vec::<&str>::new());
    assert_eq!(broken(json!({"days": []})), ["days"]);
    assert_eq!(broken(json!({"days": ["monday", "monday"]})), ["days"]);
    assert_eq!(broken(json!({"start": "24:00"})), ["start"]);
    assert_eq!(broken(json!({"end": "10:00"})), ["end"]);
    assert_eq!(broken(json!({"end": null})), ["end"]);
    assert_eq!(broken(json!({"duration_minutes": 5})), ["end"]);
    assert_eq!(broken(json!({"end": null, "duration_minutes": 1441})), ["duration_minutes"]);
    assert_eq!(broken(json!({"timezone": "Mars/Olympus"})), ["timezone"]);
    assert_eq!(broken(json!({"default_timezone": "UTC"})), ["default_timezone"]);
    assert_eq!(broken(json!({"timezone": "device", "default_timezone": "here"})), ["default_timezone"]);
    for wrong in ["9:00", "24:01", "10:60", "10", "", "aa:bb", "+1:00"] {
        assert!(wrong.parse::<ClockTime>().is_err(), "{wrong}");
    }
    let many = MaintenanceWindows(vec![
        windows(json!([{"days": ["monday"], "start": "10:00", "end": "11:00"}])).0[0]
            .clone();
        WINDOWS_MAX + 1
    ]);
    assert_eq!(many.violations().len(), 1);
}

/// Days on which clocks change in unusual ways, with the zone: by half an hour, by two hours, at midnight, to a zone a day away.
const EDGES: [(&str, &str); 14] = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Africa/Cairo", "2025-04-25"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("Asia/Beirut", "2026-03-29"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Pacific/Apia", "2011-12-30"),
];

fn edges() -> impl Strategy<Value = (String, NaiveDate)> {
    let known = select(EDGES.to_vec()).prop_map(|(zone, day)| (zone.to_owned(), day.parse().unwrap()));
    let any = (select(TZ_VARIANTS.to_vec()), 0..3_650i64).prop_map(|(zone, days)| {
        (zone.name().to_owned(), NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + TimeDelta::days(days))
    });
    prop_oneof![2 => known, 1 => any]
}

fn a_window(zone: String) -> impl Strategy<Value = MaintenanceWindow> {
    let days = subsequence(Day::all().collect::<Vec<_>>(), 1..=7);
    // Near the hours in which clocks change, and near midnight.
    let times = || prop_oneof![0..240u16, 0..MINUTES_PER_DAY, 1_320..MINUTES_PER_DAY];
    (days, times(), times(), any::<bool>(), 1..=MINUTES_PER_DAY).prop_map(move |(days, start, end, ends, minutes)| {
        let ends = ends && start != end;
        MaintenanceWindow {
            days,
            start: ClockTime::of_minutes(start).unwrap(),
            end: ClockTime::of_minutes(end).filter(|_| ends),
            duration_minutes: (!ends).then_some(minutes),
            timezone: zone.clone(),
            default_timezone: None,
        }
    })
}

/// For each minute from the first on, whether one of the windows is open: by reading the clock in order.
fn by_the_clock(windows: &[MaintenanceWindow], zone: Tz, first: DateTime<Utc>, minutes: usize) -> Vec<bool> {
    let local = |minute: i64| (first + TimeDelta::minutes(minute)).with_timezone(&zone).naive_local();
    let clock: Vec<_> = (0..minutes as i64).map(local).collect();
    let mut open = vec![false; minutes];
    let dates: BTreeMap<NaiveDate, ()> = clock.iter().map(|local| (local.date(), ())).collect();
    for window in windows {
        // The first day is read from its middle on.
        for date in dates.keys().skip(1) {
            // Also a day that the clock skips has a name.
            for day in [*date, *date - TimeDelta::days(1)] {
                let name = Day::all().nth(day.weekday().num_days_from_monday() as usize).unwrap();
                if !window.days.contains(&name) || day == *dates.keys().next().unwrap() {
                    continue;
                }
                let at =
                    |time: ClockTime| day.and_hms_opt(0, 0, 0).unwrap() + TimeDelta::minutes(time.minutes().into());
                let reaches = |wanted| clock.iter().position(|local| *local >= wanted).unwrap_or(minutes);
                let opens = reaches(at(window.start));
                let closes = match window.end {
                    Some(end) if end > window.start => reaches(at(end)),
                    Some(end) => reaches(at(end) + TimeDelta::days(1)),
                    None => opens + usize::from(window.duration_minutes.unwrap()),
                };
                open[opens.min(minutes)..closes.min(minutes).max(opens.min(minutes))].fill(true);
            }
        }
    }
    open
}

const DAYS: i64 = 5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases(48)))]

    #[test]
    fn windows_are_open_when_a_clock_says_so(
        (all, zone, day) in edges().prop_flat_map(|(zone, day)| (vec(a_window(zone.clone()), 1..4), Just(zone), Just(day))),
        probes in hash_set(0..(DAYS * 1_440) as usize, 40),
    ) {
        let all = MaintenanceWindows(all);
        prop_assert_eq!(all.violations(), []);
        let tz: Tz = zone.parse().unwrap();
        // The clock is read from three days before, so that windows of earlier days are known.
        let first = (day - TimeDelta::days(5)).and_hms_opt(12, 0, 0).unwrap().and_utc();
        let skipped = 3 * 1_440;
        let open = by_the_clock(&all.0, tz, first, skipped + DAYS as usize * 1_440);
        let time = |minute: usize| first + TimeDelta::minutes((skipped + minute) as i64);
        for minute in &probes {
            let shown = all.at(None, time(*minute));
            prop_assert_eq!(shown.is_open(), open[skipped + minute], "{} in {}", time(*minute), zone);
            if let Opening::Open { until } | Opening::Closed { until } = shown {
                prop_assert!(until > time(*minute));
                let turns = open[skipped + minute..].iter().position(|other| *other != shown.is_open());
                if let Some(turns) = turns {
                    prop_assert_eq!(until, time(minute + turns));
                }
            }
        }
        let (from, to) = (*probes.iter().min().unwrap(), *probes.iter().max().unwrap());
        let counted = open[skipped + from..skipped + to].iter().filter(|open| **open).count();
        prop_assert_eq!(all.open_between(None, time(from), time(to)), TimeDelta::minutes(counted as i64));
        if counted > 0 {
            let reached = all.after_open(None, time(from), TimeDelta::minutes(counted as i64));
            prop_assert!(reached <= time(to));
            prop_assert_eq!(all.open_between(None, time(from), reached), TimeDelta::minutes(counted as i64));
        }
    }
}

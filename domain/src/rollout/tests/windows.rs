//! Maintenance windows: release, the clocks of waves, and what a campaign waits for.

use super::*;
use crate::window::MaintenanceWindows;

/// Opens each day at the minute 0 of [`at`], for 30 minutes. In the zone of each device if that is said.
pub(super) fn windows(timezone: &str) -> MaintenanceWindows {
    let start = at(0).format("%H:%M").to_string();
    let days: Vec<&str> = crate::window::Day::all().map(|day| day.word()).collect();
    let window = serde_json::json!([{"days": days, "start": start, "duration_minutes": 30, "timezone": timezone}]);
    serde_json::from_value(window).unwrap()
}

fn windowed(first: Counts) -> RolloutView {
    let mut view = running(first, Counts { enrolled: 20, ..Counts::default() });
    view.spec.maintenance_window = windows("UTC");
    view
}

const DAY: i64 = 24 * 60;

#[test]
fn a_closed_window_is_named_with_the_time_at_which_it_opens() {
    let view = windowed(Counts { closed: 7, ..settled(20, 10, 0) });
    decides(&view, 40, &[]);
    let window = Wait::Window { devices: 7, wave: None, until: at(DAY) };
    assert_eq!(waits(&view, None, at(40))[0], window);
    let sentence =
        format!("the maintenance window of 7 devices, which opens at {}", at(DAY).format("%Y-%m-%dT%H:%M:%SZ"));
    assert_eq!(window.sentence(), sentence);
    let open = windowed(Counts { ready: 7, ..settled(20, 10, 0) });
    decides(&open, 10, &["grant 7"]);
}

#[test]
fn a_wave_waits_for_late_devices_only_while_its_window_is_open() {
    // Without a window this wave has waited for its 60 minutes.
    let view = windowed(settled(20, 5, 0));
    decides(&view, 2 * 60, &[]);
    decides(&view, DAY + 29, &[]);
    decides(&view, DAY + 30, &["close TooFewReached 1 at 80"]);
    let waiting = windowed(Counts { closed: 1, ..settled(20, 5, 0) });
    decides(&waiting, DAY + 30, &[]);
}

#[test]
fn the_next_wave_opens_when_the_window_is_open() {
    let mut view = windowed(settled(20, 20, 0));
    view.soaking_since = Some(at(10));
    view.spec.soak_minutes = 60;
    decides(&view, 75, &[]);
    let window = Wait::Window { devices: 0, wave: Some(2), until: at(DAY) };
    assert_eq!(waits(&view, None, at(75)), [window]);
    decides(&view, DAY, &["complete 1"]);
    view.spec.waves[0].advance = crate::campaign::Advance::Manual;
    decides(&view, 75, &["complete 1"]);
    // The last wave opens no other one.
    (view.wave, view.waves[1]) = (2, settled(20, 20, 0));
    decides(&view, 75, &["complete 2"]);
}

#[test]
fn windows_that_follow_devices_are_open_while_one_is() {
    let mut view = windowed(Counts { closed: 7, ..settled(20, 10, 0) });
    view.spec.maintenance_window = windows("device");
    view.zones = ["Etc/GMT-1", "Etc/GMT+2"].map(|zone| Some(zone.to_owned())).to_vec();
    // One hour ahead of UTC the window opens an hour earlier, two hours behind two hours later.
    assert!(view.opening(at(DAY - 50)).is_open() && view.opening(at(DAY + 130)).is_open());
    assert!(!view.opening(at(DAY)).is_open());
    assert_eq!(waits(&view, None, at(DAY))[0].until(), Some(at(DAY + 120)));
    assert_eq!(waits(&view, None, at(DAY + 130))[0].until(), Some(at(2 * DAY - 60)));
    // The devices ahead have had an hour after the openings of two days, later than the devices behind.
    assert_eq!(view.wave_wait_ends(), Some(at(2 * DAY - 30)));
    assert!(!view.is_wave_wait_over(at(2 * DAY - 31)) && view.is_wave_wait_over(at(2 * DAY - 30)));
}

#[test]
fn the_wait_of_a_wave_is_looked_for_up_to_the_end_of_the_campaign() {
    let mut view = windowed(settled(20, 5, 0));
    view.spec.wave_wait_minutes = u32::MAX;
    assert_eq!(view.wave_wait_ends(), Some(at(366 * DAY)));
    view.ends_at = Some(at(40 * DAY));
    assert_eq!(view.wave_wait_ends(), view.ends_at);
    assert!(!view.is_wave_wait_over(at(39 * DAY)));
}

//! A device begins to install only while its maintenance window is open.

use chrono::TimeDelta;

use super::*;

fn windowed(seq: u64, install_within_s: u64, opens_in_s: Option<u64>) -> Command {
    let update = UpdateCommand { install_within_s: Some(install_within_s), opens_in_s, ..update(seq, 1, 1) };
    Command::Update(Box::new(update))
}

/// A device that has verified its image and asked.
fn asking() -> Bench {
    let mut bench = good();
    bench.gets(windowed(1, 0, None));
    assert_eq!((bench.statuses(), bench.asked), (vec![Received, Downloading, Verifying], 1));
    bench
}

fn hears_after(bench: &mut Bench, seconds: i64, command: Command) {
    let actions = bench.firmware.on_command(command, now() + TimeDelta::seconds(seconds));
    bench.perform(actions);
}

#[test]
fn a_device_installs_after_the_answer_allows_it() {
    let mut bench = asking();
    hears_after(&mut bench, 1, windowed(1, 60, None));
    assert_eq!((bench.statuses(), bench.installs()), (HAPPY.to_vec(), 1));
}

#[test]
fn a_retained_copy_allows_nothing() {
    let mut bench = asking();
    hears_after(&mut bench, 1, windowed(1, 0, None));
    assert_eq!(bench.installs(), 0);
    bench.timer(Timer::AskAgain);
    assert_eq!(bench.asked, 2);
}

#[test]
fn an_answer_that_comes_after_its_seconds_allows_nothing() {
    let mut bench = asking();
    // The question is asked again, and the seconds still count from the first one.
    let actions = bench.firmware.on_timer(Timer::AskAgain, now() + TimeDelta::seconds(59));
    bench.perform(actions);
    hears_after(&mut bench, 60, windowed(1, 60, None));
    assert_eq!(bench.installs(), 0);
    bench.timer(Timer::AskAgain);
    hears_after(&mut bench, 61, windowed(1, 120, None));
    assert_eq!(bench.installs(), 1);
}

#[test]
fn a_device_defers_until_the_window_opens_and_goes_on_when_commanded() {
    let mut bench = asking();
    hears_after(&mut bench, 1, windowed(1, 0, Some(7_200)));
    assert_eq!((bench.statuses().last(), bench.codes.last()), (Some(&ReportStatus::Deferred), Some(&WINDOW_CLOSED)));
    bench.gets(Command::Nothing);
    bench.gets(windowed(5, 0, None));
    assert_eq!((bench.asked, bench.installs()), (2, 0));
    hears_after(&mut bench, 1, windowed(5, 60, None));
    assert_eq!(bench.installs(), 1);
}

#[test]
fn windows_that_are_taken_away_no_longer_hold_a_device() {
    let mut bench = asking();
    bench.gets(command(2, 1, 1));
    assert_eq!(bench.installs(), 1);
}

#[test]
fn a_device_that_has_staged_asks_before_it_activates() {
    let mut bench = good();
    bench.gets(stage(1));
    let told = |install_within_s, opens_in_s| {
        let Command::Activate(command) = activate(2, 1) else { unreachable!("a command to activate") };
        Command::Activate(ActivateCommand { install_within_s: Some(install_within_s), opens_in_s, ..command })
    };
    bench.gets(told(60, None));
    assert_eq!((bench.asked, bench.version().as_str()), (1, "1.0.0"), "seconds that answer no question allow nothing");
    hears_after(&mut bench, 1, told(0, Some(7_200)));
    assert_eq!((bench.statuses().last(), bench.codes.last()), (Some(&ReportStatus::Deferred), Some(&WINDOW_CLOSED)));
    bench.gets(told(0, None));
    hears_after(&mut bench, 61, told(60, None));
    assert_eq!(bench.version(), "1.0.0", "the seconds are over");
    bench.timer(Timer::AskAgain);
    assert_eq!(bench.asked, 4);
    hears_after(&mut bench, 62, told(60, None));
    assert_eq!((bench.version().as_str(), bench.installs()), ("2.0.0", 1));
}

#[test]
fn a_boot_forgets_the_question() {
    let mut bench = asking();
    bench.boot();
    assert_eq!((bench.asked, bench.installs()), (2, 0));
    hears_after(&mut bench, 1, windowed(1, 60, None));
    assert_eq!(bench.installs(), 1);
}

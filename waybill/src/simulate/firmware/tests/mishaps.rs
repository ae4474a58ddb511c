//! Faults of a simulated device, and how it continues.

use ReportStatus::{Completed, Deferred, Downloading, Installing, Rebooting, Received, Verifying};

use super::*;

#[test]
fn a_failing_device_fails_every_attempt_of_that_firmware_and_takes_the_next() {
    let mut bench = Bench::new(Behaviour { fail: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1)).gets(command(2, 1, 2));
    assert_eq!(bench.codes, [INSTALL_FAILED, INSTALL_FAILED]);
    let mut fixed = update(3, 2, 1);
    (fixed.firmware_id, fixed.version) = ("f-3".to_owned(), "2.0.1".to_owned());
    bench.gets(Command::Update(Box::new(fixed)));
    assert_eq!((bench.version().as_str(), bench.installs()), ("2.0.1", 1));
}

#[test]
fn liars_and_those_that_come_back_old_boot_the_old_version() {
    let mut bench = Bench::new(Behaviour { lie: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1)).gets(command(1, 1, 1));
    assert_eq!(
        (bench.statuses().last(), bench.version().as_str(), bench.boots, bench.installs()),
        (Some(&Completed), "1.0.0", 2, 1)
    );
    let mut bench = Bench::new(Behaviour { come_back_old: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.statuses().last(), bench.version().as_str(), bench.boots), (Some(&Rebooting), "1.0.0", 2));
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.codes.last(), bench.installs()), (Some(&BOOT_FAILED), 1));
}

#[test]
fn a_device_may_fall_back_after_success() {
    let mut bench = Bench::new(Behaviour { fall_back: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1));
    assert_eq!(bench.version(), "2.0.0");
    bench.timer(Timer::FallBack);
    assert_eq!((bench.version().as_str(), bench.boots, bench.firmware.presence("s").slot), ("1.0.0", 3, "a"));
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.codes.last(), bench.installs()), (Some(&VERSION_REGRESSED), 1));
}

#[test]
fn power_loss_and_reconnects_before_the_end_carry_on() {
    let mishaps = Behaviour {
        die_after_received: true,
        reboot_mid_download: true,
        reconnect_mid_install: true,
        ..Behaviour::default()
    };
    let mut bench = Bench::new(mishaps);
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.boots, bench.reconnects, bench.installs()), (4, 1, 1));
    assert_eq!(bench.downloads, [Some(500), None]);
    assert_eq!((bench.version().as_str(), bench.statuses().last()), ("2.0.0", Some(&Completed)));
}

#[test]
fn a_stalled_device_is_silent_until_it_boots() {
    let mut bench = Bench::new(Behaviour { stall: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1)).gets(command(2, 1, 2));
    bench.timer(Timer::Progress);
    assert_eq!((bench.statuses(), bench.firmware.stage_name()), (vec![Received, Downloading], "hung"));
    assert_eq!(bench.firmware.on_connected(), [Action::PublishStatus, Action::PublishInfo]);
    bench.boot();
    assert_eq!((bench.version().as_str(), bench.installs()), ("2.0.0", 1));
}

#[test]
fn a_deferring_device_carries_on_when_commanded_again() {
    let mut bench = Bench::new(Behaviour { defer: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1)).gets(command(1, 1, 1));
    assert_eq!((bench.statuses(), bench.firmware.is_working()), (vec![Deferred, Deferred], false));
    bench.timer(Timer::AskAgain);
    assert_eq!(bench.asked, 1);
    bench.gets(command(1, 1, 1));
    assert_eq!(bench.statuses()[2..], HAPPY);
    let mut bench = Bench::new(Behaviour { defer: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1)).gets(command(2, 1, 1));
    assert_eq!(bench.statuses()[1..], HAPPY, "a new command number is a new command");
}

#[test]
fn a_late_device_answers_when_it_is_ready() {
    let mut bench = Bench::new(Behaviour { late: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1)).gets(command(1, 1, 1)).gets(Command::Nothing);
    assert!(bench.reports.is_empty());
    bench.timer(Timer::Answer);
    assert_eq!(bench.statuses(), HAPPY);
}

#[test]
fn reports_can_come_twice_or_in_swapped_pairs_or_without_a_time() {
    let mut bench = Bench::new(Behaviour { duplicate: true, ..Behaviour::default() });
    bench.holds(Timer::Verified).gets(command(1, 1, 1));
    assert_eq!(bench.statuses(), [Received, Received, Downloading, Downloading, Verifying, Verifying]);
    let mut bench = Bench::new(Behaviour { reverse: true, ..Behaviour::default() });
    bench.gets(command(1, 1, 1));
    bench.timer(Timer::SendHeld);
    assert_eq!(bench.statuses(), [Downloading, Received, Installing, Verifying, Rebooting, Completed]);
    let mut device = Bench::new(Behaviour { no_clock: true, ..Behaviour::default() }).firmware;
    let actions = device.on_command(command(1, 1, 1), now());
    assert!(matches!(&actions[0], Action::Report { report, .. } if report.ts.is_none()));
}

//! What a firmware must do.

use ReportStatus::{
    CancelRefused, Cancelled, Completed, Downloading, Installing, Rebooting, Received, Rejected, Staged, Verifying,
};

use super::*;

#[test]
fn an_update_goes_its_way_and_runs() {
    let mut bench = good();
    bench.gets(command(1, 1, 1));
    assert_eq!(bench.statuses(), HAPPY);
    assert_eq!((bench.version().as_str(), bench.installs(), bench.boots), ("2.0.0", 1, 2));
    let presence = bench.firmware.presence("s");
    assert_eq!((presence.boot_id.as_str(), presence.trial, presence.slot), ("boot-2", false, "b"));
    let last = presence.last_update.unwrap();
    assert_eq!(
        (last.status, last.sha256),
        (Completed, Some(update(1, 1, 1).sha256)),
        "the report with the digest may be lost"
    );
    assert!(!bench.firmware.is_working());
}

#[test]
fn the_same_command_after_the_reboot_installs_once() {
    let mut bench = good();
    bench.gets(command(1, 1, 1)).gets(command(1, 1, 1)).gets(command(1, 1, 2));
    assert_eq!(bench.installs(), 1);
    assert_eq!(bench.reports.last(), Some(&(1, 2, Completed)));
}

#[test]
fn nothing_to_do_does_nothing_even_in_the_middle() {
    let mut bench = good();
    bench.gets(Command::Nothing);
    assert!(bench.reports.is_empty());
    bench.holds(Timer::Installed).gets(command(1, 1, 1)).gets(Command::Nothing);
    bench.lets_go();
    assert_eq!(bench.statuses(), HAPPY);
}

#[test]
fn a_lower_seq_or_ordinal_is_ignored() {
    let mut bench = good();
    bench.gets(command(10, 5, 2));
    let before = bench.reports.len();
    bench.gets(command(9, 6, 1)).gets(command(11, 4, 1)).gets(command(11, 5, 1));
    bench.gets(Command::Cancel(Target { seq: 9, ordinal: 5, attempt: 2 }));
    bench.gets(Command::Unsupported(Target { seq: 9, ordinal: 5, attempt: 2 }));
    assert_eq!(bench.reports.len(), before);
}

#[test]
fn what_runs_already_is_completed_without_an_install() {
    let mut bench = good();
    let mut same = update(1, 1, 1);
    same.version = "1.0.0".to_owned();
    bench.gets(Command::Update(Box::new(same)));
    assert_eq!((bench.statuses(), bench.installs()), (vec![Completed], 0));
}

#[test]
fn an_unknown_command_is_rejected_as_unsupported() {
    let mut bench = good();
    bench.gets(Command::Unsupported(Target { seq: 1, ordinal: 3, attempt: 1 })).gets(Command::Garbage);
    assert_eq!((bench.reports.clone(), bench.codes.clone()), (vec![(3, 1, Rejected)], vec![UNSUPPORTED]));
    assert_eq!(bench.firmware.garbage(), 1);
}

#[test]
fn a_repeated_command_in_the_middle_carries_on_and_says_where_it_stands() {
    let mut bench = good();
    bench.holds(Timer::WindowOver).gets(command(1, 1, 1)).gets(command(1, 1, 1));
    assert_eq!(bench.statuses(), [Received, Downloading, Verifying, Installing, Installing]);
    bench.lets_go();
    assert_eq!(bench.installs(), 1);
}

#[test]
fn a_higher_attempt_begins_again_but_not_past_the_point_of_no_return() {
    let mut bench = good();
    bench.holds(Timer::WindowOver).gets(command(1, 1, 1)).gets(command(2, 1, 2));
    assert_eq!(bench.reports.iter().filter(|report| report.2 == Received).count(), 2);
    bench.lets_go();
    assert_eq!(bench.reports.last(), Some(&(1, 2, Completed)));
    let mut bench = good();
    bench.holds(Timer::Installed).gets(command(1, 1, 1)).gets(command(2, 1, 2));
    bench.lets_go();
    assert_eq!((bench.reports.last(), bench.installs()), (Some(&(1, 1, Completed)), 1));
}

#[test]
fn a_refused_link_is_renewed_and_costs_no_attempt() {
    let mut bench = good();
    bench.fetch.push(Fetched::Refused { status: 410 });
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.asked, bench.firmware.stage_name()), (1, "awaiting_link"));
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.reports.last(), bench.installs()), (Some(&(1, 1, Completed)), 1));
}

#[test]
fn links_refused_for_ever_fail_and_so_do_downloads() {
    let mut bench = good();
    bench.fetch = vec![Fetched::Refused { status: 403 }; 10];
    for _ in 0..10 {
        bench.gets(command(1, 1, 1));
    }
    assert_eq!(bench.codes[0], URL_EXPIRED);
    let mut bench = good();
    bench.fetch = vec![Fetched::Failed { reason: "x".to_owned() }; 10];
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.codes.clone(), bench.downloads.len()), (vec![DOWNLOAD_FAILED], 5));
}

#[test]
fn a_wrong_digest_is_never_installed() {
    let mut bench = good();
    bench.fetch.push(Fetched::Complete { sha256: "cd".to_owned() });
    bench.gets(command(1, 1, 1));
    assert_eq!((bench.codes.clone(), bench.installs()), (vec![DIGEST_MISMATCH], 0));
}

#[test]
fn a_cancel_is_taken_until_the_window_is_over() {
    let cancel = || Command::Cancel(Target { seq: 2, ordinal: 1, attempt: 1 });
    let mut bench = good();
    bench.holds(Timer::WindowOver).gets(command(1, 1, 1)).gets(cancel());
    bench.lets_go();
    assert_eq!((bench.statuses().last(), bench.installs()), (Some(&Cancelled), 0));
    bench.gets(command(1, 1, 1));
    assert_eq!(bench.installs(), 0, "the retained command from before the cancel is old");
    let mut bench = good();
    bench.holds(Timer::Installed).gets(command(1, 1, 1)).gets(cancel());
    assert_eq!(bench.statuses().last(), Some(&CancelRefused));
    bench.lets_go();
    assert_eq!((bench.version().as_str(), bench.statuses().last()), ("2.0.0", Some(&Completed)));
}

#[test]
fn a_cancel_of_an_update_that_never_came_is_answered_and_one_can_be_ignored() {
    let mut bench = good();
    bench.gets(Command::Cancel(Target { seq: 2, ordinal: 1, attempt: 1 })).gets(command(1, 1, 1));
    assert_eq!(bench.reports, [(1, 1, Cancelled)]);
    let mut bench = Bench::new(Behaviour { ignore_cancel: true, ..Behaviour::default() });
    bench.holds(Timer::WindowOver).gets(command(1, 1, 1)).gets(Command::Cancel(Target {
        seq: 2,
        ordinal: 1,
        attempt: 1,
    }));
    bench.lets_go();
    assert_eq!(bench.statuses(), HAPPY);
}

#[test]
fn a_staged_update_waits_for_its_activation() {
    let mut bench = good();
    bench.gets(stage(1));
    assert_eq!(
        (bench.statuses().last(), bench.version().as_str(), bench.firmware.is_working()),
        (Some(&Staged), "1.0.0", false)
    );
    bench.boot();
    bench.gets(activate(2, 2));
    assert_eq!((bench.reports.last(), bench.codes.last()), (Some(&(2, 1, Rejected)), Some(&STANDBY_MISMATCH)));
    bench.gets(activate(3, 1));
    assert_eq!((bench.statuses().last(), bench.version().as_str(), bench.installs()), (Some(&Completed), "2.0.0", 1));
}

#[test]
fn a_version_is_on_trial_until_it_is_marked_good() {
    let pace = Pace { trial: Duration::from_secs(1), ..Pace::default() };
    let mut bench = Bench::with_pace(Behaviour::default(), pace);
    bench.holds(Timer::MarkGood).gets(command(1, 1, 1));
    assert!(bench.firmware.presence("s").trial && bench.firmware.is_working());
    assert_eq!(bench.statuses().last(), Some(&Rebooting));
    bench.gets(command(1, 1, 1));
    bench.lets_go();
    assert!(!bench.firmware.presence("s").trial);
    assert_eq!((bench.statuses().last(), bench.installs()), (Some(&Completed), 1));
}

#[test]
fn a_component_without_reboot_takes_effect_at_once() {
    let mut bench = good();
    let mut config = update(1, 1, 1);
    config.component = "config".to_owned();
    bench.gets(Command::Update(Box::new(config)));
    assert_eq!((bench.statuses().last(), bench.boots), (Some(&Completed), 1));
    let presence = bench.firmware.presence("s");
    assert_eq!(presence.firmware_version, None);
    assert_eq!(presence.versions.map(|versions| versions.len()), Some(2));
}

#[test]
fn every_connection_says_who_is_there_and_asks_and_info_follows_a_boot() {
    let mut bench = good();
    assert_eq!(bench.firmware.on_connected(), [Action::PublishStatus, Action::PublishInfo, Action::AskCommand]);
    assert_eq!(bench.firmware.on_connected(), [Action::PublishStatus, Action::AskCommand]);
    bench.boot();
    assert!(bench.firmware.on_connected().contains(&Action::PublishInfo));
    assert_eq!(bench.statuses(), Vec::<ReportStatus>::new());
}

//! Asking for updates, and their order.

use super::*;

fn held() -> DeviceCommand {
    DeviceCommand::Hold { until: None }
}

fn urgent(version: &str, priority: Priority) -> DeviceCommand {
    ask(UpdateRequest { priority, ..wanted(version) })
}

fn rollback(version: &str) -> DeviceCommand {
    ask(UpdateRequest { kind: UpdateKind::Rollback, ..wanted(version) })
}

#[test]
fn an_update_is_sent_at_once_or_says_what_it_waits_for() {
    given(online()).when(update_to("2.0.0")).then(&["update.queued 1/0 2.0.0", "update.dispatched 1/1"]);
    given(registered()).when(update_to("2.0.0")).then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 offline"]);
    given(dispatched()).when(update_to("2.1.0")).then(&["update.queued 2/0 2.1.0", "update.waiting 2/0 busy"]);
    given([online(), vec![held()]].concat()).when(update_to("2.0.0")).refused("not_eligible");
}

#[test]
fn an_update_that_makes_no_sense_is_refused() {
    let refuse = |change: fn(&mut UpdateRequest), code| {
        let mut request = wanted("2.0.0");
        change(&mut request);
        given(online()).when(ask(request)).refused(code);
    };
    refuse(|r| r.firmware.version = "1.0.0".into(), "not_eligible");
    refuse(|r| r.firmware.version = "0.9.0".into(), "not_eligible");
    refuse(|r| r.firmware.version = "nightly".into(), "not_eligible");
    refuse(|r| r.firmware.device_model = "other".into(), "not_eligible");
    refuse(|r| r.firmware.hardware_versions = vec!["9".into()], "not_eligible");
    refuse(|r| r.firmware.requires_version = Some(">=1.5".into()), "not_eligible");
    given(dispatched()).when(update_to("2.0.0")).refused("update_in_progress");
}

#[test]
fn at_most_eight_updates_wait() {
    let many = (1..=QUEUE_MAX).map(|n| update_to(&format!("2.{n}.0"))).collect();
    given([registered(), many].concat()).when(update_to("3.0.0")).refused("queue_full");
}

#[test]
fn the_queue_goes_by_rollback_then_priority_then_age() {
    let asked = vec![
        urgent("2.1.0", Priority::Normal),
        urgent("2.2.0", Priority::Critical),
        urgent("2.3.0", Priority::Critical),
        rollback("0.9.0"),
    ];
    let mut device = state_of(&[registered(), asked, vec![DeviceCommand::SeenOnline]].concat());
    let mut order = vec![];
    while let Some(ordinal) = device.live().map(|live| live.ordinal) {
        order.push(ordinal);
        assert!(order.len() <= 4, "{order:?}");
        for command in [cancel(ordinal), report(ordinal, 1, ReportStatus::Cancelled)] {
            device.decide(at(0), &command).expect("taken").iter().for_each(|event| device.evolve(event));
        }
    }
    assert_eq!(order, [4, 2, 3, 1]);
}

#[test]
fn a_rollback_goes_down_without_further_leave_but_not_to_what_runs() {
    given(online()).when(rollback("0.9.0")).then(&["update.queued 1/0 0.9.0", "update.dispatched 1/1"]);
    given(online()).when(rollback("1.0.0")).refused("not_eligible");
}

#[test]
fn an_older_version_queued_behind_a_newer_one_ends_superseded() {
    let both = [online(), vec![update_to("2.1.0"), update_to("2.0.0"), says(ReportStatus::Received)]].concat();
    given(both)
        .when(status("b2", "2.1.0"))
        .then(&["update.confirmed 1/1 2.1.0", "update.superseded 2/0 already_newer"]);
}

#[test]
fn holding_lets_the_live_update_go_on_and_stops_the_next() {
    let past = [working(ReportStatus::Installing), vec![update_to("2.1.0"), held()]].concat();
    given(past.clone()).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
    given([past, vec![status("b2", "2.0.0")]].concat())
        .when(DeviceCommand::Release)
        .then(&["device.released", "update.dispatched 2/1"]);
}

#[test]
fn the_next_update_is_judged_by_what_the_device_says_now() {
    let report = Report { code: Some("unsupported".into()), ..plain_report(1, 1, ReportStatus::Failed) };
    let message = Presence { last_update: Some(report), ..presence("b2", "2.1.0") };
    given([working(ReportStatus::Downloading), vec![update_to("2.1.0")]].concat())
        .when(DeviceCommand::ReportPresence { presence: message })
        .then(&[
            "update.failed 1/1 unsupported",
            "device.versions_reported 2.1.0",
            "update.superseded 2/0 already_on_version",
        ]);
}

#[test]
fn an_update_that_is_forgotten_has_ended_all_the_same() {
    let mut past = registered();
    for ordinal in 1..=ENDED_KEPT_MAX as u32 + 1 {
        past.extend([update_to("2.0.0"), cancel(ordinal)]);
    }
    given(past.clone()).when(cancel(1)).refused("update_ended");
    given(past.clone()).when(cancel(2)).then(&[]);
    given(past).when(cancel(99)).refused("update_unknown");
}

#[test]
fn a_hold_ends_in_a_year_that_everybody_knows() {
    let until = |text: &str| DeviceCommand::Hold { until: Some(text.parse().unwrap()) };
    for odd in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "-0044-03-15T00:00:00Z"] {
        given(registered()).when(until(odd)).refused("invalid");
    }
    given(registered()).when(until("1970-01-01T00:00:00Z")).refused("invalid");
    given(registered()).when(until("9999-12-31T23:59:59Z")).then(&["device.held"]);
}

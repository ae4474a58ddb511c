//! Requests for updates, and their order.

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
fn an_update_is_sent_at_once_or_has_a_wait_reason() {
    given(online()).when(update_to("2.0.0")).then(&["update.queued 1/0 2.0.0", "update.dispatched 1/1"]);
    given(registered()).when(update_to("2.0.0")).then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 offline"]);
    given(dispatched()).when(update_to("2.1.0")).then(&["update.queued 2/0 2.1.0", "update.waiting 2/0 busy"]);
    given([online(), vec![held()]].concat()).when(update_to("2.0.0")).refused("not_eligible");
}

#[test]
fn an_ineligible_or_repeated_update_is_refused() {
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
    while let Some((ordinal, version)) = device.live().map(|live| (live.ordinal, live.spec.firmware.version.clone())) {
        order.push(version);
        assert!(order.len() <= 4, "{order:?}");
        for command in [cancel(ordinal), report(ordinal, 1, ReportStatus::Cancelled)] {
            device.decide(at(0), &command).expect("taken").iter().for_each(|event| device.apply(event));
        }
    }
    assert_eq!(order, ["0.9.0", "2.2.0", "2.3.0", "2.1.0"]);
}

#[test]
fn an_overtaken_update_continues_with_a_new_ordinal() {
    let asked = vec![update_to("2.1.0"), urgent("2.2.0", Priority::Critical)];
    let overtaken = [registered(), asked, vec![DeviceCommand::SeenOnline]].concat();
    let live = state_of(&overtaken);
    assert_eq!(live.live().map(|live| live.ordinal), Some(2));
    given([overtaken.clone(), vec![cancel(2)]].concat()).when(report(2, 1, ReportStatus::Cancelled)).then(&[
        "update.cancelled 2/1",
        "update.superseded 1/0 overtaken",
        "update.queued 3/0 2.1.0",
        "update.dispatched 3/1",
    ]);
    let renewed = state_of(&[overtaken, vec![cancel(2), report(2, 1, ReportStatus::Cancelled)]].concat());
    let (old, new) = (renewed.update(1).unwrap(), renewed.update(3).unwrap());
    assert_eq!((new.spec.retry_of, new.wait_until, new.spec.max_attempts), (Some(1), old.wait_until, 3));
}

#[test]
fn a_withdrawn_and_overtaken_update_of_a_campaign_gets_a_new_ordinal() {
    let withdrawn = [online(), vec![grant(1), DeviceCommand::Withdraw { campaign: CAMPAIGN }]].concat();
    let other = grant_to("2.1.0", OTHER_CAMPAIGN, 1);
    let overtaken = [withdrawn, vec![other, report(2, 1, ReportStatus::Received), cancel(2)]].concat();
    let free = [overtaken, vec![report(2, 1, ReportStatus::Cancelled)]].concat();
    given(free.clone()).when(grant(2)).then(&[
        "update.superseded 1/1 overtaken",
        "update.queued 3/0 2.0.0",
        "update.dispatched 3/1",
    ]);
    let renewed = state_of(&[free, vec![grant(2)]].concat());
    assert_eq!(renewed.campaigns.get(&CAMPAIGN).map(|known| known.ordinal), Some(3));
    assert_eq!(renewed.update(3).unwrap().spec.max_attempts, 3, "a withdrawn command counts as no attempt");
    given([online(), vec![grant(1), DeviceCommand::Withdraw { campaign: CAMPAIGN }]].concat())
        .when(grant(2))
        .then(&["update.dispatched 1/1"]);
}

#[test]
fn a_paused_campaign_releases_a_device_between_two_attempts() {
    let received = report(1, 1, ReportStatus::Received);
    let between = [online(), vec![grant(1), received, fails(1, "download_failed")]].concat();
    let other = grant_to("2.1.0", OTHER_CAMPAIGN, 1);
    given(between.clone()).when(other.clone()).then(&["update.queued 2/0 2.1.0", "update.waiting 2/0 busy"]);
    let withdraw = DeviceCommand::Withdraw { campaign: CAMPAIGN };
    given(between.clone()).when(withdraw.clone()).then(&["update.waiting 1/1 withdrawn"]);
    let free = [between, vec![withdraw]].concat();
    given(free.clone()).when(grant(2)).then(&["update.dispatched 1/2"]);
    // The update that it had begun doesn't time out while the device works on another.
    given(free).when(other).then(&[
        "update.queued 2/0 2.1.0",
        "update.superseded 1/1 overtaken",
        "update.queued 3/0 2.0.0",
        "update.waiting 3/0 busy",
        "update.dispatched 2/1",
    ]);
}

/// Two updates that overtake each other without end would otherwise be sent without pause.
#[test]
fn an_overtaken_update_keeps_its_count_of_unanswered_commands() {
    let unanswered = |ordinal| expire(ordinal, 1, Phase::Dispatched, Clock::Phase);
    let urgent = urgent("2.1.0", Priority::Critical);
    let deaf = [online(), vec![update_to("2.0.0"), unanswered(1), DeviceCommand::SeenOnline, unanswered(1)]].concat();
    assert_eq!(state_of(&deaf).update(1).unwrap().unanswered, 2);
    let overtaken = [deaf, vec![urgent, DeviceCommand::SeenOnline, cancel(2), report(2, 1, ReportStatus::Cancelled)]];
    let mut device = state_of(&overtaken.concat());
    assert_eq!(device.live().map(|live| live.ordinal), None, "its pause isn't over");
    let later = device.decide(at(LATER_S / 2), &DeviceCommand::SeenOnline).expect("taken");
    later.iter().for_each(|event| device.apply(event));
    assert_eq!(device.live().map(|live| (live.ordinal, live.unanswered)), Some((3, 2)));
}

/// The device that had begun it runs the target version at its next turn.
#[test]
fn an_overtaken_update_is_confirmed_on_the_device_that_runs_it() {
    let begun =
        [online(), vec![update_to("2.0.0"), says(ReportStatus::Received), fails(1, "download_failed")]].concat();
    let mut other = wanted("7.0.0");
    (other.firmware.component, other.priority) = ("bootloader".into(), Priority::Critical);
    let overtaken = [begun, vec![ask(other), status("b2", "2.0.0"), cancel(2)]].concat();
    given(overtaken)
        .when(report(2, 1, ReportStatus::Cancelled))
        .then(&["update.cancelled 2/1", "update.confirmed 3/0 2.0.0"]);
}

#[test]
fn between_two_attempts_only_critical_updates_go_first() {
    let between =
        [online(), vec![update_to("2.0.0"), says(ReportStatus::Received), fails(1, "download_failed")]].concat();
    given(between.clone()).when(update_to("2.1.0")).then(&["update.queued 2/0 2.1.0", "update.waiting 2/0 busy"]);
    let behind = [between.clone(), vec![update_to("2.1.0")]].concat();
    given(behind.clone()).when(DeviceCommand::SeenOnline).then(&[]);
    given(behind.clone()).when_at(LATER_S, DeviceCommand::SeenOnline).then(&["update.dispatched 1/2"]);
    given(behind).when(cancel(1)).then(&["update.cancelled 1/1", "update.dispatched 2/1"]);
    given(between.clone()).when(urgent("2.1.0", Priority::Critical)).then(&[
        "update.queued 2/0 2.1.0",
        "update.superseded 1/1 overtaken",
        "update.queued 3/0 2.0.0",
        "update.waiting 3/0 busy",
        "update.dispatched 2/1",
    ]);
    let ahead = state_of(&[between, vec![urgent("2.1.0", Priority::Critical)]].concat());
    let renewed = ahead.update(3).unwrap();
    assert_eq!((renewed.spec.max_attempts, renewed.reached), (2, false));
    assert!(renewed.wait_until > at(0));
}

#[test]
fn a_rollback_may_downgrade_but_not_reinstall() {
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
fn a_hold_lets_the_live_update_go_on_and_stops_the_next() {
    let past = [working(ReportStatus::Installing), vec![update_to("2.1.0"), held()]].concat();
    given(past.clone()).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
    given([past, vec![status("b2", "2.0.0")]].concat())
        .when(DeviceCommand::Release)
        .then(&["device.released", "update.dispatched 2/1"]);
}

#[test]
fn the_next_update_is_judged_by_the_devices_present_version() {
    let report = Report { code: Some("unsupported".into()), ..plain_report(1, 1, ReportStatus::Failed) };
    let message = Presence { last_update: Some(report), ..presence("b2", "2.1.0") };
    given([working(ReportStatus::Downloading), vec![update_to("2.1.0")]].concat()).when(message.into()).then(&[
        "update.failed 1/1 unsupported",
        "device.versions_reported 2.1.0",
        "update.superseded 2/0 already_on_version",
    ]);
}

#[test]
fn an_ended_update_that_is_no_longer_kept_counts_as_ended() {
    let mut past = registered();
    for ordinal in 1..=ENDED_KEPT_MAX as u32 + 1 {
        past.extend([update_to("2.0.0"), cancel(ordinal)]);
    }
    given(past.clone()).when(cancel(1)).refused("update_ended");
    given(past.clone()).when(cancel(2)).then(&[]);
    given(past).when(cancel(99)).refused("update_unknown");
}

#[test]
fn a_hold_must_end_in_a_year_from_1970_to_9999() {
    let until = |text: &str| DeviceCommand::Hold { until: Some(text.parse().unwrap()) };
    for odd in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "-0044-03-15T00:00:00Z"] {
        given(registered()).when(until(odd)).refused("invalid");
    }
    given(registered()).when(until("1970-01-01T00:00:00Z")).refused("invalid");
    given(registered()).when(until("9999-12-31T23:59:59Z")).then(&["device.held"]);
}

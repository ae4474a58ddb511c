//! Reports in order, out of order, repeated, late, and on unknown updates.

use ReportStatus as S;

use super::*;

#[test]
fn reports_in_order_give_one_event_each() {
    given(dispatched()).when(says(S::Received)).then(&["update.accepted 1/1"]);
    given(working(S::Received)).when(says(S::Downloading)).then(&["update.downloading 1/1"]);
    given(working(S::Downloading)).when(says(S::Verifying)).then(&["update.verifying 1/1"]);
    given(working(S::Verifying)).when(says(S::Installing)).then(&["update.installing 1/1"]);
    given(working(S::Installing)).when(says(S::Rebooting)).then(&["update.rebooting 1/1"]);
    given(working(S::Installing)).when(says(S::Completed)).then(&["update.rebooting 1/1"]);
}

#[test]
fn a_repeated_or_late_report_reverts_nothing() {
    for until in [S::Received, S::Downloading, S::Verifying, S::Installing, S::Rebooting] {
        for earlier in [S::Received, S::Downloading, S::Verifying, S::Installing, S::Rebooting] {
            given(working(until)).when(says(until)).then(&[]);
            given([working(until), vec![says(earlier)]].concat()).when(says(S::Received)).then(&[]);
        }
    }
    given(working(S::Installing)).when(says(S::Downloading)).then(&[]);
    given(working(S::Installing)).when(defers(1, 60)).then(&[]);
}

#[test]
fn reports_in_reverse_order_leave_the_furthest_phase() {
    let reversed = vec![says(S::Rebooting), says(S::Installing), says(S::Downloading), says(S::Received)];
    let device = state_of(&[dispatched(), reversed].concat());
    assert_eq!(device.update(1).map(|update| (update.phase, update.reached)), Some((Phase::Rebooting, true)));
}

#[test]
fn a_lost_received_is_implied_by_later_reports() {
    given(dispatched()).when(says(S::Downloading)).then(&["update.accepted 1/1", "update.downloading 1/1"]);
    given(dispatched())
        .when(fails(1, "install_failed"))
        .then(&["update.accepted 1/1", "update.attempt_failed 1/1 install_failed"]);
}

#[test]
fn reports_of_another_attempt_or_update_give_no_events() {
    for (ordinal, attempt) in [(1, 0), (1, 2), (2, 1), (0, 1)] {
        for status in [S::Received, S::Installing, S::Failed, S::Completed, S::Rejected] {
            given(working(S::Downloading)).when(report(ordinal, attempt, status)).then(&[]);
        }
    }
    let retried = [working(S::Downloading), vec![fails(1, "download_failed")]].concat();
    given(retried).when(says(S::Downloading)).then(&[]);
}

#[test]
fn a_deferral_is_kept_until_its_time_and_is_never_a_failure() {
    given(dispatched()).when(defers(1, 60)).then(&["update.deferred 1/1"]);
    given(working(S::Downloading)).when(defers(1, 60)).then(&["update.deferred 1/1"]);
    let deferred = [dispatched(), vec![defers(1, 60)]].concat();
    given(deferred.clone()).when_at(59, defers(1, 60)).then(&[]);
    given(deferred.clone()).when_at(60, defers(1, 60)).then(&["update.deferred 1/1"]);
    given(deferred.clone()).when(says(S::Received)).then(&["update.accepted 1/1"]);
    assert_eq!(state_of(&deferred).desired(), Desired::Nothing);
}

/// Defers for its maintenance window.
fn defers_for_window(retry_after_s: Option<u32>, window_closed: bool) -> DeviceCommand {
    let code = Some("window_closed".to_owned());
    let report = Report { code, retry_after_s, ..plain_report(1, 1, S::Deferred) };
    DeviceCommand::from(report).arrived(Arrival { window_closed, ..Arrival::default() })
}

#[test]
fn a_deferral_for_a_closed_window_is_not_counted_and_one_for_an_open_window_is() {
    let granted = || [online(), vec![grant(1), says(S::Received)]].concat();
    let closed = given(granted()).and(0, defers_for_window(Some(7_200), true));
    let device = closed.state();
    let update = device.update(1).unwrap();
    assert_eq!((update.waits_for_window(), update.deferrals, update.not_before), (true, 0, Some(at(7_200))));
    closed.when_at(5, defers_for_window(Some(7_195), true)).then(&[]);
    let open = given(granted()).and(0, defers_for_window(None, false)).state();
    let update = open.update(1).unwrap();
    assert_eq!((update.waits_for_window(), update.deferrals, update.not_before), (false, 1, Some(at(900))));

    let mut often = given(granted());
    for night in 1..=100_u64 {
        let now = night as i64 * 86_400;
        often = often.and(now, defers_for_window(Some(3_600), true));
        often = often.and(now, grant(night + 1)).and(now, says(S::Received));
    }
    assert_eq!(often.state().update(1).unwrap().phase, Phase::Accepted, "closing windows never expire an update");
}

#[test]
fn a_failure_with_a_defer_code_is_a_deferral() {
    for past in [dispatched(), working(S::Downloading), working(S::Installing)] {
        given(past).when(fails(1, "low_battery")).then(&["update.deferred 1/1"]);
    }
}

#[test]
fn a_transfer_failure_is_retried_with_growing_pauses_up_to_the_attempts() {
    let mut past = given(working(S::Downloading));
    let mut now = 0;
    for (attempt, pause_s) in [(1, 30), (2, 60)] {
        let failed = Given(past.0.clone()).when_at(now, fails(attempt, "download_failed")).events();
        let retry_at = failed.iter().find_map(|event| match event {
            DeviceEvent::UpdateAttemptFailed { retry_at, .. } => Some(*retry_at),
            _ => None,
        });
        assert_eq!(retry_at, Some(at(now + pause_s)));
        past.0.extend(failed);
        now += pause_s;
        past = past
            .and(now, expire(1, attempt, Phase::Waiting(WaitReason::Backoff), Clock::Phase))
            .and(now, report(1, attempt + 1, S::Downloading));
    }
    past.when_at(now, fails(3, "download_failed")).then(&["update.failed 1/3 download_failed"]);
}

#[test]
fn an_image_failure_is_retried_once_and_a_final_one_never() {
    let second = given(working(S::Installing))
        .and(0, fails(1, "boot_failed"))
        .and(30, DeviceCommand::SeenOnline)
        .and(30, report(1, 2, S::Installing));
    second.when_at(30, fails(2, "boot_failed")).then(&["update.failed 1/2 boot_failed"]);
    given(working(S::Verifying)).when(fails(1, "signature_invalid")).then(&["update.failed 1/1 signature_invalid"]);
    let rejected = Report { code: Some("wrong_model".into()), ..plain_report(1, 1, S::Rejected) };
    given(dispatched()).when(rejected.into()).then(&["update.accepted 1/1", "update.rejected 1/1 wrong_model"]);
}

#[test]
fn a_retry_is_not_sent_before_its_pause_is_over() {
    let failed = || given(working(S::Downloading)).and(0, fails(1, "download_failed"));
    failed().when_at(29, DeviceCommand::SeenOnline).then(&[]);
    failed().when_at(30, DeviceCommand::SeenOnline).then(&["update.dispatched 1/2"]);
}

#[test]
fn wrong_bytes_end_the_attempt() {
    let with = |bytes: &[u8]| {
        let sha256 = Some(Sha256Digest::of(bytes));
        DeviceCommand::from(Report { sha256, ..plain_report(1, 1, S::Verifying) })
    };
    given(working(S::Downloading)).when(with(b"2.0.0")).then(&["update.verifying 1/1"]);
    given(working(S::Downloading)).when(with(b"other")).then(&["update.attempt_failed 1/1 digest_mismatch"]);
    let cancelling = [working(S::Downloading), vec![cancel(1)]].concat();
    given(cancelling).when(with(b"other")).then(&[]);
}

#[test]
fn an_ended_update_stays_ended_and_records_each_late_status_once() {
    let over = expire(1, 1, Phase::Downloading, Clock::Total);
    let timed_out = [working(S::Downloading), vec![over]].concat();
    given(timed_out.clone()).when(says(S::Downloading)).then(&[]);
    given(timed_out.clone()).when(says(S::Completed)).then(&["update.reported_late 1/1 completed"]);
    given([timed_out.clone(), vec![says(S::Completed)]].concat()).when(says(S::Completed)).then(&[]);
    given(timed_out).when(status("b2", "2.0.0")).then(&["device.versions_reported 2.0.0"]);
}

#[test]
fn last_update_replaces_a_lost_report() {
    let message = Presence { last_update: Some(plain_report(1, 1, S::Installing)), ..presence("b1", "1.0.0") };
    given(dispatched()).when(message.into()).then(&["update.accepted 1/1", "update.installing 1/1"]);
    let failed = Report { code: Some("install_failed".into()), ..plain_report(1, 1, S::Failed) };
    let message = Presence { last_update: Some(failed), ..presence("b2", "1.0.0") };
    given(working(S::Installing))
        .when(message.into())
        .then(&["update.attempt_failed 1/1 install_failed", "device.versions_reported"]);
}

#[test]
fn a_device_stages_only_updates_without_activation() {
    given(working(S::Installing)).when(says(S::Staged)).then(&[]);
    let staging = ask(UpdateRequest { activate: false, ..wanted("2.0.0") });
    let past = [online(), vec![has_slots(2), staging, says(S::Installing)]].concat();
    given(past.clone()).when(says(S::Staged)).then(&["update.staged 1/1"]);
    given([past, vec![says(S::Staged)]].concat()).when(says(S::Rebooting)).then(&["update.rebooting 1/1"]);
}

#[test]
fn a_repeated_failure_has_no_effect_when_the_update_ended_otherwise() {
    let failed = fails(1, "download_failed");
    for (runs, end) in [("3.0.0", "update.superseded 1/1 already_newer"), ("2.0.0", "update.confirmed 1/1 2.0.0")] {
        let past = [working(S::Downloading), vec![status_without_boot(runs), failed.clone()]].concat();
        given(past.clone()).when_at(LATER_S, failed.clone()).then(&[end]);
        given(past).and(LATER_S, failed.clone()).when_at(LATER_S, failed.clone()).then(&[]);
    }
}

#[test]
fn a_report_on_attempt_zero_has_no_effect() {
    let waits = [online(), vec![DeviceCommand::Hold { until: None }]].concat();
    for past in [waits, [dispatched(), vec![cancel(1), says(S::Cancelled)]].concat()] {
        given(past).when(report(1, 0, S::Completed)).then(&[]);
    }
}

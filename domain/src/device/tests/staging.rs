//! Blue/green on one device: it installs into its standby slot, keeps the image, and activates it when it is told to.

use ReportStatus as S;

use super::*;

/// A slot of a campaign that stages; `activate`: the wave of the device has opened.
fn slot(number: u64, activate: bool) -> DeviceCommand {
    let DeviceCommand::GrantSlot { mut request, grant } = grant(number) else { unreachable!("a grant") };
    request.activate = activate;
    DeviceCommand::GrantSlot { request, grant }
}

fn staged() -> Vec<DeviceCommand> {
    [online(), vec![has_slots(2), slot(1, false), says(S::Installing), says(S::Staged)]].concat()
}

fn activating() -> Vec<DeviceCommand> {
    [staged(), vec![slot(2, true)]].concat()
}

fn withdraw() -> DeviceCommand {
    DeviceCommand::Withdraw { campaign: CAMPAIGN }
}

fn phase(past: &[DeviceCommand]) -> Phase {
    state_of(past).update(1).unwrap().phase
}

#[test]
fn a_device_that_may_have_one_slot_does_not_stage() {
    let excluded = ["update.queued 1/0 2.0.0", "update.superseded 1/0 no_standby_slot"];
    given(online()).when(slot(1, false)).then(&excluded);
    given([online(), vec![has_slots(1)]].concat()).when(slot(1, false)).then(&excluded);
    given([online(), vec![has_slots(1)]].concat())
        .when(slot(1, true))
        .then(&["update.queued 1/0 2.0.0", "update.dispatched 1/1"]);
}

#[test]
fn a_staged_device_is_told_to_activate_and_then_proves_what_it_runs() {
    given(staged()).when(slot(2, true)).then(&["update.activating 1/1"]);
    assert!(matches!(state_of(&activating()).desired(), Desired::Activate(update) if update.ordinal == 1));
    given(activating()).when(says(S::Rebooting)).then(&["update.rebooting 1/1"]);
    given([activating(), vec![says(S::Rebooting)]].concat())
        .when(status("b2", "2.0.0"))
        .then(&["update.confirmed 1/1 2.0.0"]);
    // Nobody heard of its restart.
    given(activating()).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
}

#[test]
fn a_command_changes_with_each_step_of_the_activation() {
    let seq = |past: &[DeviceCommand]| state_of(past).update(1).unwrap().command_seq;
    let installing = [online(), vec![has_slots(2), slot(1, false), says(S::Installing)]].concat();
    assert_eq!(seq(&installing), seq(&staged()), "a staged device has the command that it has obeyed");
    assert!(seq(&activating()) > seq(&staged()));
    assert!(seq(&[activating(), vec![withdraw()]].concat()) > seq(&activating()));
}

#[test]
fn a_repeated_or_misplaced_grant_activates_nothing() {
    given(staged()).when(slot(1, true)).then(&[]);
    given(activating()).when(slot(2, true)).then(&[]);
    // It was granted for the staging, which is done already.
    given(staged()).when(slot(2, false)).then(&["update.staged 1/1 slot"]);
    assert_eq!(phase(&[staged(), vec![slot(2, false)]].concat()), Phase::Staged);
}

#[test]
fn a_device_that_is_away_or_held_gives_the_slot_back() {
    given([staged(), vec![lost()]].concat()).when(slot(2, true)).then(&["update.staged 1/1 offline"]);
    let hold = DeviceCommand::Hold { until: None };
    given([staged(), vec![hold]].concat()).when(slot(2, true)).then(&["update.staged 1/1 held"]);
}

#[test]
fn silence_after_the_command_to_activate_keeps_what_is_staged() {
    let silent = || expire(1, 1, Phase::Activating, Clock::Phase);
    given(activating()).when_at(300, silent()).then(&["update.staged 1/1 unresponsive", "device.went_offline silence"]);
    given(activating()).when_at(300, expire(1, 1, Phase::Activating, Clock::Total)).then(&[]);
    let kept = given(activating()).and(300, silent());
    assert_eq!(kept.last(), "device.went_offline silence");
}

#[test]
fn a_pause_takes_an_unanswered_activation_back() {
    given(activating()).when(withdraw()).then(&["update.staged 1/1 withdrawn"]);
    given([activating(), vec![says(S::Rebooting)]].concat()).when(withdraw()).then(&[]);
    given(staged()).when(withdraw()).then(&[]);
}

#[test]
fn a_device_may_put_the_activation_off() {
    given(activating()).when(defers(1, 600)).then(&["update.staged 1/1"]);
    let put_off = state_of(&[activating(), vec![defers(1, 600)]].concat());
    assert_eq!(put_off.update(1).unwrap().not_before, Some(at(600)));
}

#[test]
fn a_restart_into_the_old_version_loses_nothing_while_staged() {
    given(staged()).when(status("b2", "1.0.0")).then(&["device.versions_reported"]);
    assert_eq!(phase(&[staged(), vec![status("b2", "1.0.0")]].concat()), Phase::Staged);
    given([activating(), vec![says(S::Rebooting)]].concat())
        .when(status("b2", "1.0.0"))
        .then(&["device.versions_reported", "update.attempt_failed 1/1 version_regressed"]);
}

#[test]
fn a_device_that_activates_on_its_own_counts_by_what_it_runs() {
    given(staged()).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
    given(staged()).when(says(S::Rebooting)).then(&["update.rebooting 1/1"]);
}

#[test]
fn a_device_that_has_lost_what_it_staged_fails_and_stages_again() {
    given(activating()).when(fails(1, "boot_failed")).then(&["update.attempt_failed 1/1 boot_failed"]);
    given(activating()).when(fails(1, "standby_mismatch")).then(&["update.failed 1/1 standby_mismatch"]);
}

#[test]
fn what_is_staged_can_be_cancelled_also_after_the_command_to_activate() {
    for past in [staged(), activating()] {
        given(past).when(cancel(1)).then(&["update.cancelling 1/1"]);
    }
    given([activating(), vec![cancel(1)]].concat())
        .when(says(S::Rebooting))
        .then(&["update.cancel_refused 1/1", "update.rebooting 1/1"]);
}

#[test]
fn a_refused_cancel_means_activation_and_so_comes_to_an_end() {
    for past in [staged(), activating()] {
        let cancelling = [past, vec![cancel(1)]].concat();
        given(cancelling.clone())
            .when(says(S::CancelRefused))
            .then(&["update.cancel_refused 1/1", "update.rebooting 1/1"]);
        given([cancelling, vec![says(S::CancelRefused)]].concat())
            .when_at(LATER_S, expire(1, 1, Phase::Rebooting, Clock::Phase))
            .then(&["update.timed_out 1/1 in rebooting x_silent"]);
    }
}

#[test]
fn a_late_staged_report_does_not_take_an_activation_back() {
    let activating_now = [activating(), vec![says(S::Rebooting)]].concat();
    given(activating_now.clone()).when(says(S::Staged)).then(&[]);
    assert!(matches!(state_of(&activating_now).desired(), Desired::Activate(_)), "the command stands");
}

#[test]
fn a_boot_says_what_became_of_an_activation_that_was_not_reported() {
    given(activating())
        .when(status("b2", "1.0.0"))
        .then(&["device.versions_reported", "update.attempt_failed 1/1 version_regressed"]);
    given(activating()).when(trial("b2", "2.0.0")).then(&["device.versions_reported 2.0.0", "update.rebooting 1/1"]);
}

#[test]
fn an_activation_is_put_off_for_longer_each_time() {
    let again = |past: &[DeviceCommand], number: u64| [past, &[slot(number, true), defers(1, 1)]].concat();
    let until = |past: &[DeviceCommand]| state_of(past).update(1).unwrap().not_before.unwrap() - at(0);
    let mut past = staged();
    let mut pauses = vec![];
    for number in 2..8 {
        past = again(&past, number);
        pauses.push(until(&past).num_seconds());
    }
    assert_eq!(pauses, [1, 1, 1, 60, 120, 240]);
    given(activating()).when(fails(1, "low_battery")).then(&["update.staged 1/1"]);
}

#[test]
fn an_activation_waits_for_its_window_and_that_is_no_deferral() {
    let closed = |window_closed| {
        let report = Report { code: Some(CODE_WINDOW_CLOSED.to_owned()), ..plain_report(1, 1, S::Deferred) };
        DeviceCommand::from(report).arrived(Arrival { window_closed, ..Arrival::default() })
    };
    given(activating()).when(closed(true)).then(&["update.staged 1/1 window"]);
    let waits = state_of(&[activating(), vec![closed(true)]].concat());
    let waits = waits.update(1).unwrap();
    assert_eq!((waits.not_before, waits.deferrals), (None, 0));
    // The window is open: a deferral like any other.
    let update = state_of(&[activating(), vec![closed(false)]].concat()).update(1).unwrap().clone();
    assert_eq!((update.not_before.is_some(), update.deferrals), (true, 1));
}

#[test]
fn what_is_staged_can_be_cancelled_also_if_the_installation_could_not() {
    let crossed = [online(), vec![has_slots(2), slot(1, false), says(S::Downloading), cancel(1), says(S::Installing)]];
    let staged = [crossed.concat(), vec![says(S::Staged)]].concat();
    assert!(!state_of(&staged).update(1).unwrap().cancel_refused);
    let cancel = DeviceCommand::CancelForCampaign { campaign: CAMPAIGN, before_round: Some(1) };
    given(staged).when(cancel).then(&["update.cancelling 1/1"]);
}

#[test]
fn nobody_who_was_not_told_to_activate_is_told_by_a_refusal_or_a_restart() {
    let refused = [staged(), vec![cancel(1), says(S::CancelRefused)]].concat();
    let installing = [online(), vec![has_slots(2), slot(1, false), says(S::Installing)]].concat();
    let early = [installing, vec![says(S::Rebooting)]].concat();
    let withdrawn = [activating(), vec![cancel(1), says(S::Rebooting)]].concat();
    for past in [refused, early, withdrawn] {
        assert!(matches!(state_of(&past).desired(), Desired::Install(_)), "{:?}", phase(&past));
    }
}

#[test]
fn a_device_that_was_off_when_the_command_came_keeps_what_it_staged() {
    let boots = |status| {
        let last_update = Some(plain_report(1, 1, status));
        Presence { last_update, ..presence("b2", "1.0.0") }.into()
    };
    given(activating()).when(boots(S::Staged)).then(&["device.versions_reported", "update.staged 1/1 unresponsive"]);
    given(activating()).when(boots(S::Rebooting)).then(&[
        "update.rebooting 1/1",
        "device.versions_reported",
        "update.attempt_failed 1/1 version_regressed",
    ]);
}

#[test]
fn an_activation_that_is_put_off_for_ever_is_cancelled() {
    let mut past = staged();
    for number in 2..66 {
        past.extend([slot(number, true), defers(1, 1)]);
    }
    past.push(slot(66, true));
    given(past).when(defers(1, 1)).then(&["update.cancelling 1/1 put_off_too_often"]);
}

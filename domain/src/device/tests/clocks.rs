//! Cancelling in each phase, and each clock in each phase, with current and stale state.

use ReportStatus as S;

use super::*;

fn campaign_update() -> Vec<DeviceCommand> {
    [online(), vec![grant(1)]].concat()
}

fn deferred() -> Vec<DeviceCommand> {
    [dispatched(), vec![defers(1, 60)]].concat()
}

fn cancelling() -> Vec<DeviceCommand> {
    [working(S::Downloading), vec![cancel(1)]].concat()
}

fn staged() -> Vec<DeviceCommand> {
    let staging = ask(UpdateRequest { activate: false, ..wanted("2.0.0") });
    [online(), vec![has_slots(2), staging, says(S::Installing), says(S::Staged)]].concat()
}

#[test]
fn the_effect_of_a_cancel_depends_on_the_phase() {
    given([registered(), vec![update_to("2.0.0")]].concat()).when(cancel(1)).then(&["update.cancelled 1/0"]);
    for past in
        [dispatched(), deferred(), working(S::Received), working(S::Downloading), working(S::Verifying), staged()]
    {
        given(past).when(cancel(1)).then(&["update.cancelling 1/1"]);
    }
    for past in [working(S::Installing), working(S::Rebooting)] {
        given(past).when(cancel(1)).refused("cancel_too_late");
    }
    given(cancelling()).when(cancel(1)).then(&[]);
    given([cancelling(), vec![says(S::Cancelled)]].concat()).when(cancel(1)).then(&[]);
    given([working(S::Installing), vec![status("b2", "2.0.0")]].concat()).when(cancel(1)).refused("update_succeeded");
    given([working(S::Verifying), vec![fails(1, "unsupported")]].concat()).when(cancel(1)).refused("update_ended");
    given(online()).when(cancel(1)).refused("update_unknown");
}

#[test]
fn a_cancelled_update_makes_room_for_the_next() {
    given([cancelling(), vec![update_to("2.1.0")]].concat())
        .when(says(S::Cancelled))
        .then(&["update.cancelled 1/1", "update.dispatched 2/1"]);
}

#[test]
fn the_devices_report_decides_while_cancelling() {
    given(cancelling()).when(says(S::CancelRefused)).then(&["update.cancel_refused 1/1"]);
    given(cancelling()).when(says(S::Installing)).then(&["update.cancel_refused 1/1", "update.installing 1/1"]);
    given(cancelling()).when(says(S::Verifying)).then(&[]);
    given(cancelling()).when(fails(1, "download_failed")).then(&["update.cancelled 1/1"]);
    given(cancelling()).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
    let refused = state_of(&[cancelling(), vec![says(S::CancelRefused)]].concat());
    assert_eq!(refused.update(1).map(|update| update.phase), Some(Phase::Downloading));
    given(working(S::Downloading)).when(says(S::CancelRefused)).then(&[]);
    given(working(S::Downloading)).when(says(S::Cancelled)).then(&[]);
}

#[test]
fn a_device_may_obey_a_cancel_sent_while_it_reported_installing() {
    let crossed = [cancelling(), vec![says(S::Installing)]].concat();
    given(crossed.clone()).when(says(S::Cancelled)).then(&["update.cancelled 1/1"]);
    given([crossed.clone(), vec![says(S::Rebooting)]].concat())
        .when(says(S::Cancelled))
        .then(&["update.cancelled 1/1"]);
    given([crossed, vec![says(S::Cancelled)]].concat()).when(says(S::Cancelled)).then(&[]);
    given(working(S::Installing)).when(says(S::Cancelled)).then(&[]);
}

#[test]
fn the_waiting_clock_ends_an_update_that_was_never_answered() {
    let wait = |phase| expire(1, 1, phase, Clock::Wait);
    let offline = Phase::Waiting(WaitReason::Offline);
    given([registered(), vec![grant(1)]].concat())
        .when_at(LATER_S, expire(1, 0, offline, Clock::Wait))
        .then(&["update.expired 1/0"]);
    given(dispatched()).when_at(LATER_S, wait(Phase::Dispatched)).then(&["update.expired 1/1"]);
    given(deferred()).when_at(LATER_S, wait(Phase::Deferred)).then(&["update.expired 1/1"]);
    for (until, phase) in [(S::Received, Phase::Accepted), (S::Installing, Phase::Installing)] {
        given(working(until)).when_at(LATER_S, wait(phase)).then(&[]);
    }
    given(dispatched()).when_at(1, wait(Phase::Dispatched)).then(&[]);
}

#[test]
fn the_working_clock_fails_an_update_that_was_answered() {
    let total = |phase| expire(1, 1, phase, Clock::Total);
    for (until, phase) in [(S::Received, Phase::Accepted), (S::Rebooting, Phase::Rebooting)] {
        let ended = format!("update.timed_out 1/1 in {} x_timed_out", phase.word());
        given(working(until)).when(total(phase)).then(&[&ended]);
    }
    let backoff = Phase::Waiting(WaitReason::Backoff);
    given([working(S::Downloading), vec![fails(1, "download_failed")]].concat())
        .when(total(backoff))
        .then(&["update.timed_out 1/1 in waiting x_timed_out"]);
    given(dispatched()).when(total(Phase::Dispatched)).then(&[]);
    given([working(S::Received), vec![defers(1, 60)]].concat()).when(total(Phase::Deferred)).then(&[]);
    given([campaign_update(), vec![says(S::Received), defers(1, 60)]].concat())
        .and(60, expire(1, 1, Phase::Deferred, Clock::Phase))
        .when_at(LATER_S, total(Phase::Waiting(WaitReason::Slot)))
        .then(&[]);
    given(staged()).when(total(Phase::Staged)).then(&[]);
    given(cancelling()).when(total(Phase::Cancelling)).then(&["update.cancelled 1/1"]);
}

#[test]
fn silence_ends_an_attempt_and_after_the_last_one_the_update() {
    let silent = |attempt, phase| expire(1, attempt, phase, Clock::Phase);
    for (until, phase) in
        [(S::Received, Phase::Accepted), (S::Downloading, Phase::Downloading), (S::Installing, Phase::Installing)]
    {
        given(working(until)).when(silent(1, phase)).then(&["update.attempt_failed 1/1 x_silent"]);
    }
    let once = ask(UpdateRequest { max_attempts: 1, ..wanted("2.0.0") });
    given([online(), vec![once, says(S::Downloading)]].concat())
        .when(silent(1, Phase::Downloading))
        .then(&["update.timed_out 1/1 in downloading x_silent"]);
    given(staged()).when(silent(1, Phase::Staged)).then(&[]);
    given(cancelling()).when(silent(1, Phase::Cancelling)).then(&["update.cancelled 1/1"]);
}

#[test]
fn an_unanswered_dispatch_is_withdrawn_and_the_device_counts_as_offline() {
    given(campaign_update())
        .when(expire(1, 1, Phase::Dispatched, Clock::Phase))
        .then(&["update.waiting 1/1 unresponsive", "device.went_offline silence"]);
    let silent = [dispatched(), vec![expire(1, 1, Phase::Dispatched, Clock::Phase)]].concat();
    given(silent).when(DeviceCommand::SeenOnline).then(&["device.came_online", "update.dispatched 1/1"]);
}

#[test]
fn after_a_deferral_an_operators_update_goes_on_and_a_campaigns_waits_for_a_slot() {
    let over = || expire(1, 1, Phase::Deferred, Clock::Phase);
    given(deferred()).when_at(60, over()).then(&["update.dispatched 1/1"]);
    given(deferred()).when_at(59, over()).then(&[]);
    let campaigns = [campaign_update(), vec![defers(1, 60)]].concat();
    given(campaigns.clone()).when_at(60, over()).then(&["update.waiting 1/1 slot"]);
    given(campaigns).and(60, over()).when_at(60, grant(2)).then(&["update.dispatched 1/1"]);
    given([deferred(), vec![lost()]].concat()).when_at(60, over()).then(&["update.waiting 1/1 offline"]);
}

#[test]
fn a_stale_clock_has_no_effect() {
    for clock in [Clock::Wait, Clock::Total, Clock::Phase] {
        given(working(S::Installing)).when_at(LATER_S, expire(1, 1, Phase::Downloading, clock)).then(&[]);
        given(working(S::Installing)).when_at(LATER_S, expire(1, 2, Phase::Installing, clock)).then(&[]);
        given(working(S::Installing)).when_at(LATER_S, expire(9, 1, Phase::Installing, clock)).then(&[]);
        let ended = [cancelling(), vec![says(S::Cancelled)]].concat();
        given(ended).when_at(LATER_S, expire(1, 1, Phase::Ended(Outcome::Cancelled), clock)).then(&[]);
    }
}

#[test]
fn a_clock_has_no_effect_after_a_later_event_of_the_update() {
    let past = || given(dispatched()).and(0, expire(1, 1, Phase::Dispatched, Clock::Phase));
    let stale = DeviceCommand::Expire { ordinal: 1, attempt: 1, phase: Phase::Dispatched, clock: Clock::Phase, seq: 4 };
    past().and(1, DeviceCommand::SeenOnline).when_at(2, stale).then(&[]);
}

#[test]
fn a_reachable_device_that_never_answers_gets_its_command_ever_less_often() {
    let mut device = state_of(&online());
    let (mut now, mut events) = (0, 0);
    device.decide(at(0), &grant(1)).unwrap().iter().for_each(|event| device.apply(event));
    let mut number = 1;
    while now < WEEK_S {
        now += 120;
        let decide = |device: &mut Device, command: DeviceCommand| {
            let decided = device.decide(at(now), &informed(device, command)).unwrap();
            decided.iter().for_each(|event| device.apply(event));
            decided.len()
        };
        let update = device.update(1).unwrap().clone();
        if update.phase == Phase::Dispatched {
            events += decide(&mut device, expire(1, 1, Phase::Dispatched, Clock::Phase));
        }
        events += decide(&mut device, DeviceCommand::SeenOnline);
        if device.update(1).unwrap().not_before.is_none_or(|not_before| not_before <= at(now)) {
            number += 1;
            events += decide(&mut device, grant(number));
        }
    }
    assert!((30..200).contains(&events), "{events} events in a week");
}

#[test]
fn endless_deferrals_expire_the_update() {
    let mut device = state_of(&dispatched());
    let (mut now, mut count) = (0, 0);
    while !device.update(1).unwrap().phase.is_ended() {
        count += 1;
        for command in [defers(1, 1), expire(1, 1, Phase::Deferred, Clock::Phase), says(S::Received)] {
            let decided = device.decide(at(now), &informed(&device, command)).unwrap();
            decided.iter().for_each(|event| device.apply(event));
            now = device.update(1).unwrap().not_before.map_or(now, |until| (until - at(0)).num_seconds());
        }
        assert!(count < 100);
    }
    assert_eq!(device.update(1).unwrap().phase, Phase::Ended(Outcome::Expired));
    assert!(now > WEEK_S, "the pauses grow: {now} s");
}

#[test]
fn an_operators_update_past_its_waiting_time_is_not_sent() {
    given([registered(), vec![update_to("2.0.0")]].concat()).when_at(LATER_S, status("b1", "1.0.0")).then(&[
        "device.came_online",
        "device.versions_reported",
        "update.expired 1/0",
    ]);
}

const WEEK_S: i64 = 7 * 24 * 3_600;

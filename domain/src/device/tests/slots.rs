//! Grants of a campaign: each has an effect once, and an update that can't begin gives its slot back.

use super::*;
use crate::preconditions::Preconditions;

fn granted() -> Vec<DeviceCommand> {
    [online(), vec![grant(1)]].concat()
}

#[test]
fn a_first_grant_queues_the_update_and_begins_it_if_the_device_can() {
    given(online()).when(grant(1)).then(&["update.queued 1/0 2.0.0", "update.dispatched 1/1"]);
    given(registered()).when(grant(1)).then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 offline"]);
    given([online(), vec![update_to("1.5.0")]].concat())
        .when(grant(1))
        .then(&["update.queued 2/0 2.0.0", "update.waiting 2/0 busy"]);
    given([online(), vec![DeviceCommand::Hold { until: None }]].concat())
        .when(grant(1))
        .then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 held"]);
}

#[test]
fn a_repeated_grant_changes_nothing_and_a_later_one_does() {
    given(granted()).when(grant(1)).then(&[]);
    given(granted()).when(grant(2)).then(&[]);
    let waiting = [registered(), vec![grant(3), status("b1", "1.0.0")]].concat();
    given(waiting.clone()).when(grant(3)).then(&[]);
    given(waiting.clone()).when(grant(2)).then(&[]);
    given(waiting).when(grant(4)).then(&["update.dispatched 1/1"]);
}

#[test]
fn every_granted_device_gets_an_outcome_of_its_own() {
    let superseded = |past, reason: &str| {
        let ended = format!("update.superseded 1/0 {reason}");
        given(past).when(grant(1)).then(&["update.queued 1/0 2.0.0", &ended]);
    };
    superseded(vec![register(), status("b1", "2.0.0")], "already_on_version");
    superseded(vec![register(), status("b1", "2.0.1")], "already_newer");
    given([registered(), vec![DeviceCommand::Decommission]].concat())
        .when(grant(1))
        .then(&["update.queued 1/0 2.0.0", "update.cancelled 1/0 decommissioned"]);
}

#[test]
fn a_device_with_another_update_of_the_firmware_waits_and_is_judged_when_that_ends() {
    given(dispatched()).when(grant(1)).then(&["update.queued 2/0 2.0.0", "update.waiting 2/0 busy"]);
    let both = [dispatched(), vec![grant(1), says(ReportStatus::Received)]].concat();
    let confirmed = [both.clone(), vec![status("b2", "2.0.0")]].concat();
    given(confirmed).when(grant(2)).then(&["update.superseded 2/0 already_on_version"]);
    let failed = [both.clone(), vec![fails(1, "unsupported")]].concat();
    given(failed).when(grant(2)).then(&["update.dispatched 2/1"]);
    let cancelled = [both, vec![cancel(1), says(ReportStatus::Cancelled)]].concat();
    given(cancelled).when(grant(2)).then(&["update.dispatched 2/1"]);
}

/// The version that runs while an update is under way may change again.
#[test]
fn a_device_on_trial_of_the_firmware_is_not_judged_before_its_update_ends() {
    let trying = [working(ReportStatus::Installing), vec![trial("b2", "2.0.0")]].concat();
    given(trying.clone()).when(grant(1)).then(&["update.queued 2/0 2.0.0", "update.waiting 2/0 busy"]);
    let newer = grant_to("1.9.0", OTHER_CAMPAIGN, 1);
    given(trying.clone()).when(newer.clone()).then(&["update.queued 2/0 1.9.0", "update.waiting 2/0 busy"]);
    let fell_back = [trying, vec![newer, status("b3", "1.0.0"), cancel(1)]].concat();
    given(fell_back).when(grant_to("1.9.0", OTHER_CAMPAIGN, 2)).then(&["update.dispatched 2/1"]);
}

#[test]
fn a_granted_device_with_a_full_queue_waits_with_the_others() {
    let own = |count: usize| (1..=count).map(|n| update_to(&format!("1.{n}.0"))).collect::<Vec<_>>();
    given([registered(), own(QUEUE_MAX)].concat())
        .when(grant(1))
        .then(&["update.queued 9/0 2.0.0", "update.waiting 9/0 offline"]);
    // Granted updates have a bound of their own.
    let campaigns = (0..QUEUE_GRANTED_MAX as u128).map(|n| grant_to("2.0.0", CampaignId(Uuid::from_u128(n)), 1));
    given([registered(), campaigns.collect()].concat())
        .when(grant(1))
        .then(&["update.queued 17/0 2.0.0", "update.superseded 17/0 queue_full"]);
}

#[test]
fn a_grant_past_the_waiting_clock_ends_expired() {
    given(online()).when_at(LATER_S, grant(1)).then(&["update.queued 1/0 2.0.0", "update.expired 1/0"]);
    given([registered(), vec![grant(1), DeviceCommand::SeenOnline]].concat())
        .when_at(LATER_S, grant(2))
        .then(&["update.expired 1/0"]);
}

#[test]
fn an_ended_update_of_a_campaign_takes_no_further_grant() {
    let ended = [granted(), vec![cancel(1), says(ReportStatus::Cancelled)]].concat();
    given(ended).when(grant(2)).then(&[]);
}

#[test]
fn an_update_of_a_campaign_waits_for_its_slot_and_an_operators_update_does_not() {
    given([registered(), vec![grant(1)]].concat()).when(DeviceCommand::SeenOnline).then(&["device.came_online"]);
    given([registered(), vec![update_to("2.0.0")]].concat())
        .when(DeviceCommand::SeenOnline)
        .then(&["device.came_online", "update.dispatched 1/1"]);
}

#[test]
fn two_campaigns_take_turns() {
    let second = grant_to("2.1.0", OTHER_CAMPAIGN, 1);
    given(granted()).when(second).then(&["update.queued 2/0 2.1.0", "update.waiting 2/0 busy"]);
}

#[test]
fn a_pause_withdraws_only_unanswered_commands() {
    let withdraw = || DeviceCommand::Withdraw { campaign: CAMPAIGN };
    given(granted()).when(withdraw()).then(&["update.waiting 1/1 withdrawn"]);
    given([granted(), vec![says(ReportStatus::Received)]].concat()).when(withdraw()).then(&[]);
    given([granted(), vec![withdraw()]].concat()).when(withdraw()).then(&[]);
    given([granted(), vec![withdraw()]].concat()).when(grant(2)).then(&["update.dispatched 1/1"]);
    let other = DeviceCommand::Withdraw { campaign: OTHER_CAMPAIGN };
    given(granted()).when(other).then(&[]);
}

#[test]
fn an_answer_sent_before_a_withdrawal_arrived_is_accepted() {
    let withdrawn = [granted(), vec![DeviceCommand::Withdraw { campaign: CAMPAIGN }]].concat();
    given(withdrawn)
        .when(says(ReportStatus::Downloading))
        .then(&["update.accepted 1/1 takes a slot", "update.downloading 1/1"]);
}

#[test]
fn a_device_of_a_campaign_that_answers_without_a_slot_takes_one() {
    let taken: &[&str] = &["update.accepted 1/1 takes a slot"];
    let unanswered = expire(1, 1, Phase::Dispatched, Clock::Phase);
    let unresponsive = [granted(), vec![unanswered.clone()]].concat();
    given(unresponsive)
        .when(says(ReportStatus::Received))
        .then(&["device.came_online", "update.accepted 1/1 takes a slot"]);
    let deferred = [granted(), vec![says(ReportStatus::Received), defers(1, 60)]].concat();
    given(deferred.clone()).when(says(ReportStatus::Received)).then(taken);
    let over = expire(1, 1, Phase::Deferred, Clock::Phase);
    given(deferred).and(61, over).when_at(62, says(ReportStatus::Received)).then(taken);
    // A granted update has its slot, and an update outside campaigns needs none.
    given(granted()).when(says(ReportStatus::Received)).then(&["update.accepted 1/1"]);
    given([dispatched(), vec![unanswered]].concat())
        .when(says(ReportStatus::Received))
        .then(&["device.came_online", "update.accepted 1/1"]);
}

#[test]
fn an_operators_update_begins_when_the_campaigns_one_is_withdrawn() {
    given([granted(), vec![update_to("1.5.0")]].concat())
        .when(DeviceCommand::Withdraw { campaign: CAMPAIGN })
        .then(&["update.waiting 1/1 withdrawn", "update.dispatched 2/1"]);
}

#[test]
fn a_slot_that_never_arrived_is_cancelled_permanently() {
    let DeviceCommand::GrantSlot { request, grant: slot } = grant(1) else { unreachable!() };
    let take_back = DeviceCommand::CancelGranted { request, grant: slot };
    given(online()).when(take_back.clone()).then(&["update.queued 1/0 2.0.0", "update.cancelled 1/0"]);
    given(granted()).when(take_back.clone()).then(&["update.cancelling 1/1"]);
    given([online(), vec![take_back.clone()]].concat()).when(take_back.clone()).then(&[]);
    given([online(), vec![take_back]].concat()).when(grant(1)).then(&[]);
}

#[test]
fn a_slot_that_never_arrived_is_given_back_and_the_update_waits_for_another() {
    let withdraw = |number| {
        let DeviceCommand::GrantSlot { request, grant } = grant(number) else { unreachable!() };
        DeviceCommand::WithdrawGranted { request, grant }
    };
    let withdrawn = &["update.queued 1/0 2.0.0", "update.waiting 1/0 withdrawn"];
    given(online()).when(withdraw(1)).then(withdrawn);
    given(registered()).when(withdraw(1)).then(withdrawn);
    let past = [online(), vec![withdraw(1)]].concat();
    given(past.clone()).when(withdraw(1)).then(&[]);
    given(past.clone()).when(grant(1)).then(&[]);
    given(past.clone()).when(withdraw(2)).then(&["update.waiting 1/0 withdrawn"]);
    given(past).when(grant(2)).then(&["update.dispatched 1/1"]);
    // The device was told of the slot meanwhile.
    given(granted()).when(withdraw(1)).then(&[]);
    given([granted(), vec![cancel(1), says(ReportStatus::Cancelled)]].concat()).when(withdraw(2)).then(&[]);
    given([registered(), vec![DeviceCommand::Decommission]].concat())
        .when(withdraw(1))
        .then(&["update.queued 1/0 2.0.0", "update.cancelled 1/0 decommissioned"]);
}

#[test]
fn a_cancelled_campaign_cancels_updates_before_the_point_of_no_return() {
    let cancelled = || DeviceCommand::CancelForCampaign { campaign: CAMPAIGN, before_round: None };
    given([registered(), vec![grant(1)]].concat()).when(cancelled()).then(&["update.cancelled 1/0"]);
    given(granted()).when(cancelled()).then(&["update.cancelling 1/1"]);
    given([granted(), vec![says(ReportStatus::Installing)]].concat()).when(cancelled()).then(&[]);
    given([granted(), vec![cancelled()]].concat()).when(cancelled()).then(&[]);
    given(online()).when(cancelled()).then(&[]);
}

#[test]
fn an_update_between_attempts_is_checked_again_when_the_device_runs_another_version() {
    let withdrawn = [online(), vec![grant(1), DeviceCommand::Withdraw { campaign: CAMPAIGN }]].concat();
    given(withdrawn.clone()).when(grant(2)).then(&["update.dispatched 1/1"]);
    let newer = [withdrawn, vec![status("b2", "2.1.0")]].concat();
    given(newer).when(grant(2)).then(&["update.superseded 1/1 already_newer"]);
}

#[test]
fn waiting_updates_of_a_withdrawn_firmware_end() {
    let firmware_id = wanted("2.0.0").firmware.firmware_id;
    let gone = DeviceCommand::WithdrawFirmware { firmware_id };
    given([registered(), vec![update_to("2.0.0")]].concat())
        .when(gone.clone())
        .then(&["update.superseded 1/0 firmware_withdrawn"]);
    let past = |last: DeviceCommand| [dispatched(), vec![last, gone.clone(), gone.clone()]].concat();
    given(past(gone.clone())).when(gone.clone()).then(&[]);
    given(past(says(ReportStatus::Installing))).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
}

#[test]
fn updates_under_way_are_cancelled_with_a_reason_when_their_firmware_is_withdrawn() {
    let gone = DeviceCommand::WithdrawFirmware { firmware_id: wanted("2.0.0").firmware.firmware_id };
    for word in [ReportStatus::Received, ReportStatus::Deferred, ReportStatus::Downloading, ReportStatus::Verifying] {
        let past = [dispatched(), vec![says(word)]].concat();
        given(past.clone()).when(gone.clone()).then(&["update.cancelling 1/1 firmware_withdrawn"]);
        let told = [past, vec![gone.clone()]].concat();
        assert!(matches!(state_of(&told).desired(), Desired::Cancel(_)));
        given(told).when(says(ReportStatus::Cancelled)).then(&["update.cancelled 1/1 firmware_withdrawn"]);
    }
    // A device that refuses continues, and gets no second cancel.
    let refused = [working(ReportStatus::Downloading), vec![gone.clone(), says(ReportStatus::CancelRefused)]].concat();
    given(refused.clone()).when(gone.clone()).then(&[]);
    given(refused).when(status("b2", "2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
    let silent = expire(1, 1, Phase::Cancelling, Clock::Phase);
    given([dispatched(), vec![gone]].concat()).when(silent).then(&["update.cancelled 1/1 firmware_withdrawn"]);
}

#[test]
fn bytes_of_a_withdrawn_firmware_are_available_only_past_the_point_of_no_return() {
    use crate::firmware::FirmwareStatus as S;
    let given_out = |past: &[DeviceCommand], status: S| status.is_given_out(state_of(past).update(1));
    let (downloading, installing) = (working(ReportStatus::Downloading), working(ReportStatus::Installing));
    let cases =
        [(S::Active, true, true), (S::Deprecated, true, true), (S::Withdrawn, false, true), (S::Deleted, false, false)];
    for (status, before, after) in cases {
        assert_eq!((given_out(&downloading, status), given_out(&installing, status)), (before, after), "{status:?}");
    }
    assert!(!S::Withdrawn.is_given_out(None));
}

#[test]
fn a_refused_cancel_is_not_asked_again_in_the_same_attempt() {
    let cancel = DeviceCommand::CancelForCampaign { campaign: CAMPAIGN, before_round: None };
    let past = [online(), vec![grant(1), says(ReportStatus::Downloading), cancel.clone()]].concat();
    let refused = [past, vec![says(ReportStatus::CancelRefused)]].concat();
    given(refused).when(cancel).then(&[]);
}

#[test]
fn an_operators_update_with_preconditions_waits_until_they_are_met() {
    let preconditions = Some(Preconditions { min_battery_percent: Some(30), ..Preconditions::default() });
    let asked = ask(UpdateRequest { preconditions, ..wanted("2.0.0") });
    let proceed = |seq| DeviceCommand::Proceed { ordinal: 1, seq };
    given(online()).when(asked.clone()).then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 precondition"]);
    let waiting = [online(), vec![asked]].concat();
    given(waiting.clone()).when(DeviceCommand::SeenOnline).then(&[]);
    let seq = state_of(&waiting).update(1).unwrap().seq;
    given(waiting.clone()).when(proceed(seq - 1)).then(&[]);
    given(waiting.clone()).when(proceed(seq)).then(&["update.dispatched 1/1"]);
    given([waiting.clone(), vec![lost()]].concat()).when(proceed(seq)).then(&["update.waiting 1/0 offline"]);
    // Another update without a wait reason goes first.
    given(waiting).when(update_to("2.1.0")).then(&["update.queued 2/0 2.1.0", "update.dispatched 2/1"]);
}

#[test]
fn an_update_that_an_operator_cancelled_is_not_retried() {
    let past = [online(), vec![grant(1), says(ReportStatus::Downloading), cancel(1)]].concat();
    let went_on = [past, vec![says(ReportStatus::Installing)]].concat();
    given(went_on).when(fails(1, "install_failed")).then(&["update.failed 1/1 install_failed"]);
}

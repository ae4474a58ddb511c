//! Rollbacks of a campaign on one device.

use super::*;
use crate::device::{CampaignRef, Grant, UpdateKind};

/// A grant of a round of the campaign: of its update to 2.0.0, or of its rollback to 1.0.0.
fn of_round(round: u16, number: u64, kind: UpdateKind) -> (Box<UpdateRequest>, Grant) {
    let campaign = CampaignRef { id: CAMPAIGN, wave: 1, rank: 0, round };
    let version = if kind == UpdateKind::Rollback { "1.0.0" } else { "2.0.0" };
    (Box::new(UpdateRequest { kind, ..wanted(version) }), Grant { campaign, number, wait_until: at(LATER_S) })
}

fn back(round: u16, number: u64) -> DeviceCommand {
    let (request, grant) = of_round(round, number, UpdateKind::Rollback);
    DeviceCommand::GrantSlot { request, grant }
}

/// The device runs 2.0.0 by the campaign.
fn updated() -> Vec<DeviceCommand> {
    [online(), vec![grant(1), says(ReportStatus::Received), status("b2", "2.0.0")]].concat()
}

fn ended(ordinal: u32) -> Vec<DeviceCommand> {
    let failed = Report { code: Some("unsupported".into()), ..plain_report(ordinal, 1, ReportStatus::Failed) };
    vec![report(ordinal, 1, ReportStatus::Received), failed.into()]
}

#[test]
fn a_rollback_goes_below_the_running_version_and_says_what_it_undoes() {
    let events = given(updated()).when(back(1, 2)).events();
    let [DeviceEvent::UpdateQueued { spec, .. }, DeviceEvent::UpdateDispatched { .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((spec.rolls_back, spec.retry_of, spec.kind), (Some(1), None, UpdateKind::Rollback));
}

#[test]
fn a_device_that_runs_another_version_by_now_is_left_alone() {
    let moved = [updated(), vec![status("b3", "3.0.0")]].concat();
    given(moved).when(back(1, 2)).then(&["update.queued 2/0 1.0.0", "update.superseded 2/0 changed_since"]);
}

#[test]
fn a_second_rollback_undoes_the_same_update() {
    let failed = [updated(), vec![back(1, 2)], ended(2)].concat();
    let events = given(failed.clone()).when(back(2, 3)).events();
    let [DeviceEvent::UpdateQueued { spec, .. }, DeviceEvent::UpdateDispatched { .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(spec.rolls_back, Some(1), "not the rollback that failed");
    given(failed).when(back(1, 3)).then(&[]);
}

#[test]
fn commands_of_an_earlier_round_do_not_reach_a_rollback() {
    let cancel = |before_round| DeviceCommand::CancelForCampaign { campaign: CAMPAIGN, before_round };
    let going_back = [updated(), vec![back(1, 2)]].concat();
    given(going_back.clone()).when(cancel(Some(1))).then(&[]);
    given(going_back.clone()).when(cancel(Some(2))).then(&["update.cancelling 2/1"]);
    let (request, grant) = of_round(0, 1, UpdateKind::Update);
    given(going_back).when(DeviceCommand::CancelGranted { request, grant }).then(&[]);
}

#[test]
fn taking_back_a_grant_of_the_update_never_replaces_its_outcome() {
    let (request, grant) = of_round(0, 1, UpdateKind::Update);
    given(updated()).when(DeviceCommand::CancelGranted { request, grant }).then(&[]);
}

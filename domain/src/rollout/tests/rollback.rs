//! The policy of a rollback.

use super::*;
use crate::campaign::Evidence;
use crate::rollback::RollbackObstacle;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

/// A campaign of ten devices that is rolled back since the epoch.
fn view(rollback: RollbackView) -> RolloutView {
    let wave = Counts { enrolled: 10, reached: 10, confirmed: 10, gate_settled: 10, ..Counts::default() };
    let mut view = running(wave, Counts::default());
    view.status = CampaignStatus::RollingBack;
    view.waves[0].in_use = rollback.under_way;
    view.spec.max_concurrent_updates = 4;
    view.spec.gate_min_settled = 4;
    view.spec.wait_for_device_minutes = 60;
    view.rollback = Some(rollback);
    view
}

fn steps(rollback: RollbackView, now: DateTime<Utc>) -> Vec<String> {
    decide(&view(rollback), now).iter().map(said).collect()
}

fn mqtt(devices: u32) -> PerTransport<u32> {
    PerTransport::of_total(devices, 0)
}

fn some() -> RollbackView {
    RollbackView::default()
}

#[test]
fn devices_go_back_under_the_slots_of_the_campaign() {
    assert_eq!(steps(RollbackView { ready: mqtt(9), waiting: 9, ..some() }, at(1)), ["cancel", "grant 4"]);
    assert_eq!(
        steps(RollbackView { ready: mqtt(9), waiting: 9, under_way: 3, ..some() }, at(1)),
        ["cancel", "grant 1"]
    );
    assert_eq!(steps(RollbackView { ready: mqtt(9), waiting: 9, under_way: 4, ..some() }, at(1)), ["cancel"]);
}

#[test]
fn a_rollback_ends_when_nobody_is_left_or_has_been_waited_for() {
    let away = || RollbackView { waiting: 2, rolled_back: 8, ..some() };
    assert_eq!(steps(away(), at(59)), ["cancel"]);
    assert_eq!(steps(away(), at(60)), ["cancel", "finish rollback of 8"]);
    assert_eq!(steps(RollbackView { rolled_back: 10, ..some() }, at(1)), ["cancel", "finish rollback of 10"]);
    assert_eq!(steps(RollbackView { under_way: 1, rolled_back: 9, ..some() }, at(600)), ["cancel"]);
    // The rate lets nobody begin now, and there are devices that could.
    let mut limited = view(RollbackView { ready: mqtt(2), waiting: 2, rolled_back: 8, ..some() });
    limited.spec.rate_per_minute = Some(1);
    limited.paced_until.mqtt = Some(at(90));
    assert_eq!(decide(&limited, at(60)).iter().map(said).collect::<Vec<_>>(), ["cancel"]);
}

#[test]
fn the_evidence_of_the_end_counts_every_device_that_did_not_go_back() {
    let impossible = [(RollbackObstacle::FirmwareUnknown, 3)].into();
    let ended = RollbackView { rolled_back: 4, failed: 1, given_up: 1, waiting: 1, impossible, ..some() };
    let last = decide(&view(ended), at(60)).pop().unwrap();
    let RolloutStep::FinishRollback { evidence } = last else { panic!("{last:?}") };
    assert_eq!((evidence.rolled_back, evidence.failed, evidence.unreached), (4, 1, 2));
    assert_eq!(evidence.impossible, [("firmware_unknown".to_owned(), 3)].into());
}

#[test]
fn a_rollback_stops_when_half_of_the_devices_fail() {
    let closed = ["close Rollback all at 50"];
    assert_eq!(steps(RollbackView { failed: 2, rolled_back: 2, waiting: 4, ..some() }, at(1)), closed);
    assert_eq!(steps(RollbackView { failed: 1, rolled_back: 3, waiting: 4, ..some() }, at(1)), ["cancel"]);
    assert_eq!(steps(RollbackView { failed: 3, waiting: 4, ..some() }, at(1)), ["cancel"], "too few have ended");
    let accepted = RollbackView { failed: 2, rolled_back: 2, accepted_failed: 2, accepted_rolled_back: 2, ..some() };
    assert_eq!(steps(RollbackView { waiting: 4, ..accepted.clone() }, at(1)), ["cancel"]);
    let again = RollbackView { failed: 4, rolled_back: 4, ..accepted };
    let step = decide(&view(again), at(1)).remove(0);
    let RolloutStep::CloseGate { evidence: Evidence { settled, confirmed, failed, .. }, .. } = step else {
        panic!("{step:?}")
    };
    assert_eq!((settled, confirmed, failed), (4, 2, 2), "what was accepted isn't counted again");
}

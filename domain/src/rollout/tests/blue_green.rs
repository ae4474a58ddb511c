//! Blue/green: the gate of the staging, the activation in waves, and what happens to staged devices at the end.

use super::*;
use crate::campaign::{Advance, Strategy};

/// Devices stage since minute 0.
fn staging(first: Counts, second: Counts) -> RolloutView {
    let mut view = RolloutView { wave: 0, ..running(first, second) };
    view.spec.strategy = Strategy::BlueGreen;
    view
}

fn staged(enrolled: u32, staged: u32) -> Counts {
    Counts { enrolled, reached: staged, staged, ..Counts::default() }
}

#[test]
fn all_devices_may_stage_at_once_and_none_of_them_opens_a_wave() {
    let ready = |ready| Counts { enrolled: 10, ready, ..Counts::default() };
    decides(&staging(ready(4), ready(3)), 1, &["grant 7"]);
}

#[test]
fn staging_is_completed_when_enough_devices_have_staged_the_version() {
    decides(&staging(staged(10, 10), staged(10, 10)), 1, &["completes staging with 20 staged"]);
    decides(&staging(staged(10, 10), staged(10, 5)), 1, &[]);
    let late = staging(staged(10, 10), staged(10, 5));
    let waited = i64::from(late.spec.wave_wait_minutes) + 1;
    decides(&late, waited, &["completes staging with 15 staged"]);
}

#[test]
fn too_many_failures_while_staging_close_a_gate_before_any_device_has_activated() {
    let failed = |failed, staged_too| Counts {
        failed,
        gate_failed: failed,
        gate_settled: failed,
        reached: failed + staged_too,
        ..staged(100, staged_too)
    };
    decides(&staging(failed(15, 70), Counts::default()), 1, &["completes staging with 70 staged"]);
    let view = staging(failed(20, 70), Counts::default());
    let threshold = view.spec.failure_threshold_percent.get();
    decides(&view, 1, &[&format!("close Failure all at {threshold}")]);
}

#[test]
fn a_device_that_failed_and_then_staged_counts_once() {
    // 10 failed once, and 5 of them have staged since.
    let again = Counts { gate_failed: 10, gate_settled: 10, staged_failed: 5, ..staged(60, 35) };
    let threshold = staging(again, Counts::default()).spec.failure_threshold_percent.get();
    decides(&staging(again, Counts::default()), 1, &[&format!("close Failure all at {threshold}")]);
}

#[test]
fn a_device_that_fails_to_stage_during_the_activation_is_one_of_all_that_have_staged() {
    let confirmed = Counts { confirmed: 10, gate_settled: 10, reached: 10, ..staged(10, 0) };
    let late = Counts { failed: 5, gate_failed: 5, gate_settled: 5, ..staged(100, 90) };
    let view = RolloutView { wave: 1, ..staging(confirmed, late) };
    assert!(view.failure_gate().is_none(), "5 of 105");
}

#[test]
fn devices_at_work_are_waited_for() {
    let working = Counts { working: 1, in_use: 1, reached: 10, ..staged(10, 9) };
    decides(&staging(working, Counts::default()), 1, &[]);
}

#[test]
fn a_manual_first_wave_waits_for_an_operator_after_the_staging() {
    let mut view = staging(staged(10, 10), Counts::default());
    view.wave_completed = true;
    view.spec.waves[0].advance = Advance::Manual;
    decides(&view, 1, &[]);
    assert_eq!(waits(&view, None, at(1)), [Wait::Operator { wave: 1 }]);
}

#[test]
fn staged_devices_drop_what_they_have_staged_before_the_campaign_ends() {
    let mut view = staging(staged(10, 10), Counts::default());
    view.ends_at = Some(at(5));
    decides(&view, 6, &["cancel staged"]);
    view.waves[1] = Counts { working: 1, in_use: 1, ..staged(1, 0) };
    decides(&view, 6, &["cancel staged"]);
    view.status = CampaignStatus::Paused;
    decides(&view, 6, &["withdraw", "cancel staged"]);
    view.waves[1] = Counts::default();
    view.waves[0] = Counts { enrolled: 10, cancelled: 10, ..Counts::default() };
    decides(&view, 6, &["finish Failed"]);
}

//! What a freeze of the tenant does to the times of a campaign.

use super::*;

fn closes_too_few_reached(view: &RolloutView, minute: i64) -> bool {
    let closes = |step: &RolloutStep| matches!(step, RolloutStep::CloseGate { gate: GateKind::TooFewReached, .. });
    decide(view, at(minute)).iter().any(closes)
}

#[test]
fn after_a_freeze_a_wave_waits_its_whole_time_again() {
    let mut view = running(settled(20, 5, 0), settled(20, 0, 0));
    view.spec.wave_wait_minutes = 60;
    assert!(!closes_too_few_reached(&view, 59) && closes_too_few_reached(&view, 60));
    view.kept_back = Some(KeptBack::Freeze);
    assert!(!closes_too_few_reached(&view, 600), "devices had no chance to begin");
    (view.kept_back, view.released_at) = (None, Some(at(600)));
    assert_eq!(view.wave_wait_ends(), Some(at(660)));
    assert!(!closes_too_few_reached(&view, 659) && closes_too_few_reached(&view, 660));
    // A freeze that ended before the wave opened changes nothing.
    view.released_at = Some(at(-10));
    assert!(!closes_too_few_reached(&view, 59) && closes_too_few_reached(&view, 60));
}

#[test]
fn a_soak_goes_on_during_a_freeze() {
    let mut view = running(settled(20, 20, 0), settled(20, 0, 0));
    view.soaking_since = Some(at(0));
    let soaked = i64::from(view.spec.soak_minutes(1));
    (view.kept_back, view.released_at) = (Some(KeptBack::Freeze), Some(at(-10)));
    let completes =
        |minute: i64| decide(&view, at(minute)).iter().any(|step| matches!(step, RolloutStep::CompleteWave { .. }));
    assert!(completes(soaked), "what runs the new version shows how it does");
    assert!(soaked == 0 || !completes(soaked - 1));
}

#[test]
fn after_a_freeze_a_rollback_waits_its_whole_time_again_and_says_so() {
    let wave = Counts { enrolled: 10, reached: 10, confirmed: 10, gate_settled: 10, ..Counts::default() };
    let mut view = running(wave, Counts::default());
    view.status = CampaignStatus::RollingBack;
    view.spec.wait_for_device_minutes = 60;
    view.rollback = Some(RollbackView { since: at(0), waiting: 2, rolled_back: 8, ..RollbackView::default() });
    view.released_at = Some(at(600));
    let finishes = |minute: i64| {
        let finishes = |step: &RolloutStep| matches!(step, RolloutStep::FinishRollback { .. });
        decide(&view, at(minute)).iter().any(finishes)
    };
    assert!(!finishes(659) && finishes(660));
    assert_eq!(waits(&view, None, at(601)), [Wait::IdleDevices { count: 2, until: Some(at(660)) }]);
}

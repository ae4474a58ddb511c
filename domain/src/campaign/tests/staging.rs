//! Blue/green: no wave opens before the staging is completed, or an operator ends it.

use super::*;

fn staged() -> C {
    C::CompleteStaging { evidence: Evidence::default() }
}

fn running(first: Advance) -> Vec<C> {
    let mut way = staging(S::Running);
    if let Some(C::Create { spec, .. }) = way.first_mut() {
        spec.waves[0].advance = first;
    }
    way
}

#[test]
fn the_first_wave_opens_after_the_staging() {
    assert_eq!(answer(&staging(S::Planning), record_plan()), "planned started");
    let auto = running(Advance::Auto);
    assert_eq!(answer(&auto, pass(1)), "=", "no wave is open");
    assert_eq!(answer(&auto, staged()), "staged wave_opened");
    let opened = [auto, vec![staged()]].concat();
    assert_eq!(answer(&opened, staged()), "=");
    assert_eq!(answer(&opened, pass(1)), "gate_passed");
}

#[test]
fn a_manual_first_wave_waits_for_an_operator() {
    let manual = running(Advance::Manual);
    assert_eq!(answer(&manual, open(1)), "!wave_not_due");
    let waiting = [manual, vec![staged()]].concat();
    assert_eq!(answer(&waiting, staged()), "=");
    assert_eq!(answer(&waiting, open(2)), "!wave_not_due");
    assert_eq!(answer(&waiting, open(1)), "wave_opened");
}

#[test]
fn an_operator_may_start_activation_before_all_devices_have_staged() {
    let forced = C::OpenWave { wave: 1, force: true };
    assert_eq!(answer(&running(Advance::Auto), forced), "wave_opened");
}

#[test]
fn the_staging_is_for_blue_green_alone() {
    assert_eq!(answer(&way_to(S::Running), staged()), "=");
}

//! Devices of a wave that begin spread over a time.

use super::*;

fn with_jitter(seconds: u32, first: Counts) -> RolloutView {
    let mut view = running(first, settled(10, 0, 0));
    view.spec.jitter_seconds = Some(seconds);
    view
}

#[test]
fn the_devices_of_a_wave_begin_evenly_distributed() {
    let view = with_jitter(600, settled(4, 0, 0));
    let begun = |seconds: i64| view.spec.begun_by_jitter(4, at(0), at(0) + TimeDelta::seconds(seconds));
    let at_times = [-5, 0, 149, 150, 299, 300, 450, 599].map(begun);
    assert_eq!(at_times, [1, 1, 1, 2, 2, 3, 4, 4].map(Some));
    assert_eq!([600, 601].map(begun), [None, None], "all may begin");
    assert_eq!(view.spec.begun_by_jitter(0, at(0), at(0)), Some(0), "a wave without devices");
    let longest = CampaignSpec { jitter_seconds: Some(crate::campaign::JITTER_MAX_SECONDS), ..spec(&[100]) };
    assert_eq!(longest.begun_by_jitter(u32::MAX, at(0), at(23 * 60 + 59)), Some(4_291_984_679));
    assert_eq!(spec(&[100]).begun_by_jitter(4, at(0), at(0)), None, "without jitter all may begin");
}

#[test]
fn a_wave_is_not_judged_before_its_last_device_may_begin() {
    // All that began are confirmed, and nobody is ready: without jitter the wave would pass, or be too few.
    let enough = with_jitter(3_600, settled(10, 8, 0));
    decides(&enough, 59, &[]);
    decides(&enough, 60, &["pass 1"]);
    let few = with_jitter(3_600, settled(100, 1, 0));
    decides(&few, 119, &[]);
    decides(&few, 120, &["close TooFewReached 1 at 80"]);
    let everybody = with_jitter(3_600, settled(10, 10, 0));
    decides(&everybody, 1, &["pass 1"]);
    let failing = with_jitter(3_600, settled(100, 5, 5));
    decides(&failing, 1, &["close Failure 1 at 20"]);
}

#[test]
fn the_wait_names_the_end_of_the_jitter() {
    let view = with_jitter(3_600, settled(100, 1, 0));
    let told = |minutes: i64| waits(&view, None, at(minutes));
    let jitter = Wait::Jitter { wave: 1, until: at(60) };
    assert_eq!(told(1), std::slice::from_ref(&jitter));
    assert_eq!((jitter.kind(), jitter.until()), ("jitter", Some(at(60))));
    assert_eq!(told(60), [Wait::IdleDevices { count: 99, until: Some(at(120)) }]);
}

//! Evidence of decisions: the judged counts and devices.

use super::*;

fn failed(device: usize, wave: u16, accepted: bool) -> FailedDevice {
    let device = DeviceId::new(format!("d-{device}")).expect("an id");
    FailedDevice { device, wave, counts: !accepted, ended: !accepted }
}

fn evidence(view: &RolloutView) -> Evidence {
    match &decide(view, at(1))[..] {
        [
            RolloutStep::CloseGate { evidence, .. }
            | RolloutStep::PassGate { evidence, .. }
            | RolloutStep::Finish { evidence, .. },
        ] => evidence.clone(),
        other => panic!("{other:?}"),
    }
}

fn names(evidence: &Evidence) -> Vec<&str> {
    evidence.devices.iter().map(DeviceId::as_str).collect()
}

#[test]
fn the_evidence_has_the_counts_of_the_gate() {
    let mut view = running(settled(20, 5, 6), Counts::default());
    view.failed_devices = (0..30).map(|n| failed(n, 1, false)).collect();
    let evidence = evidence(&view);
    assert_eq!((evidence.position, evidence.enrolled, evidence.settled, evidence.failed), (42, 20, 11, 6));
    assert_eq!(evidence.devices.len(), crate::campaign::EVIDENCE_DEVICES_MAX);
}

/// Two failures of the first wave were accepted. Three of the second wave came later, and one of the second wave was accepted.
fn after_acceptance() -> RolloutView {
    let accepted = |counts: Counts, devices| Counts {
        accepted_failed: devices,
        accepted_settled: devices,
        accepted_ended: devices,
        ..counts
    };
    let mut view = running(accepted(settled(10, 8, 2), 2), accepted(settled(10, 6, 4), 1));
    view.wave = 2;
    view.failed_devices = [(5, 2, false), (6, 2, false), (7, 2, false), (8, 2, true), (1, 1, true), (2, 1, true)]
        .map(|(device, wave, accepted)| failed(device, wave, accepted))
        .to_vec();
    view
}

#[test]
fn accepted_failures_are_not_evidence_of_a_gate() {
    let view = after_acceptance();
    let evidence = evidence(&view);
    assert_eq!((evidence.enrolled, evidence.reached, evidence.confirmed), (10, 10, 6));
    assert_eq!((evidence.settled, evidence.failed), (9, 3));
    assert_eq!(names(&evidence), ["d-5", "d-6", "d-7"]);
}

#[test]
fn a_gate_of_the_whole_campaign_names_devices_of_all_waves() {
    let mut view = after_acceptance();
    view.spec.waves[1].failure_threshold_percent = Some(crate::campaign::tests::threshold(100));
    view.spec.failure_threshold_percent = crate::campaign::tests::threshold(10);
    view.failed_devices.push(failed(9, 1, false));
    view.waves[0].gate_failed += 1;
    let evidence = evidence(&view);
    assert_eq!((evidence.enrolled, evidence.settled, evidence.failed), (20, 17, 4));
    assert_eq!(names(&evidence), ["d-5", "d-6", "d-7", "d-9"]);
}

/// A failed attempt with a later successful one counts only for the failure gate.
#[test]
fn the_evidence_of_the_success_gate_counts_how_updates_ended() {
    let mut view = running(Counts { gate_failed: 2, ..settled(20, 19, 1) }, Counts::default());
    view.failed_devices = vec![failed(1, 1, false), FailedDevice { ended: false, ..failed(2, 1, false) }];
    let evidence = evidence(&view);
    assert_eq!((evidence.settled, evidence.confirmed, evidence.failed), (20, 19, 1));
    assert_eq!(names(&evidence), ["d-1"]);
}

#[test]
fn the_evidence_at_the_end_has_all_failures() {
    let mut view = after_acceptance();
    (view.wave_completed, view.spec.failure_threshold_percent) = (true, crate::campaign::tests::threshold(100));
    let evidence = evidence(&view);
    assert_eq!((evidence.settled, evidence.failed, evidence.devices.len()), (20, 6, 6));
}

#[test]
fn a_campaign_whose_retried_devices_never_began_has_failed() {
    let retried = Counts { enrolled: 4, gate_failed: 4, gate_settled: 4, accepted_failed: 4, ..Counts::default() };
    let mut view = running(retried, Counts::default());
    view.ends_at = Some(at(1));
    decides(&view, 1, &["finish Failed"]);
}

//! Firmware without boot ids: nothing is concluded without evidence of a restart.

use ReportStatus as S;

use super::*;

const CONFIRMED: &str = "update.confirmed 1/1 2.0.0";
const FELL_BACK: &str = "update.attempt_failed 1/1 version_regressed";
const SEEN: &str = "update.session_seen 1/1";

/// A device without boot ids reports `completed`.
fn claimed() -> Vec<DeviceCommand> {
    let begun = [vec![register(), in_session("s1", "1.0.0"), update_to("2.0.0")], vec![says(S::Installing)]].concat();
    [begun, vec![says(S::Completed)]].concat()
}

fn in_session(session: &str, version: &str) -> DeviceCommand {
    Presence { session: Some(session.into()), versions: versions(version), ..Presence::default() }.into()
}

fn goodbye(session: Option<&str>) -> DeviceCommand {
    DeviceCommand::ReportOffline { session: session.map(str::to_owned), arrival: Arrival::default() }
}

/// `claimed`, and the device still runs the old version in the same session.
fn still_old() -> Vec<DeviceCommand> {
    [claimed(), vec![in_session("s1", "1.0.0")]].concat()
}

#[test]
fn the_old_version_after_completed_is_no_fallback_before_a_restart() {
    given(claimed()).when(status_without_boot("1.0.0")).then(&[]);
    given(claimed()).when(in_session("s1", "1.0.0")).then(&[SEEN]);
    given(still_old()).when(in_session("s1", "1.0.0")).then(&[]);
    given(still_old()).when(in_session("s1", "2.0.0")).then(&[CONFIRMED]);
    given(still_old()).when(in_session("s2", "2.0.0")).then(&[SEEN, CONFIRMED]);
    given(claimed()).when(status_without_boot("2.0.0")).then(&[CONFIRMED]);
}

#[test]
fn each_sign_of_a_restart_lets_the_old_version_count() {
    given(still_old()).when(in_session("s2", "1.0.0")).then(&[SEEN, FELL_BACK]);
    given([still_old(), vec![says(S::Rebooting)]].concat()).when(in_session("s1", "1.0.0")).then(&[FELL_BACK]);
    given([still_old(), vec![goodbye(Some("s1"))]].concat()).when(in_session("s1", "1.0.0")).then(&[FELL_BACK]);
    given([claimed(), vec![goodbye(None)]].concat()).when(status_without_boot("1.0.0")).then(&[FELL_BACK]);
    given([still_old(), vec![lost()]].concat())
        .when(in_session("s1", "1.0.0"))
        .then(&["device.came_online", FELL_BACK]);
}

#[test]
fn without_evidence_of_a_restart_the_old_version_does_not_count() {
    given(still_old()).when(goodbye(Some("s0"))).then(&[]);
    given([still_old(), vec![goodbye(Some("s0"))]].concat()).when(in_session("s1", "1.0.0")).then(&[]);
    let early =
        [vec![register(), status_without_boot("1.0.0"), update_to("2.0.0")], vec![says(S::Downloading)]].concat();
    given(early).when(goodbye(None)).then(&[]);
    given(working(S::Rebooting)).when(goodbye(None)).then(&[]);
}

#[test]
fn without_a_sign_of_a_restart_the_phase_limit_decides() {
    given(still_old())
        .when_at(300, expire(1, 1, Phase::Rebooting, Clock::Phase))
        .then(&["update.attempt_failed 1/1 x_silent"]);
}

#[test]
fn a_version_confirmed_by_a_claim_alone_regresses_only_after_a_restart_or_its_time() {
    let regressed = "device.version_regressed 1/1 2.0.0 to 1.0.0";
    let confirmed = [claimed(), vec![status_without_boot("2.0.0")]].concat();
    given(confirmed.clone()).when(status_without_boot("1.0.0")).then(&["device.versions_reported 1.0.0"]);
    let old = [confirmed, vec![status_without_boot("1.0.0")]].concat();
    given(old.clone()).when_at(299, status_without_boot("1.0.0")).then(&[]);
    given(old.clone()).when_at(300, status_without_boot("1.0.0")).then(&[regressed]);
    given([old.clone(), vec![goodbye(None)]].concat()).when(status_without_boot("1.0.0")).then(&[regressed]);
    given([old.clone(), vec![goodbye(None)]].concat())
        .when(status_without_boot("2.0.0"))
        .then(&["device.versions_reported 2.0.0"]);
    given(old).when(status("b1", "1.0.0")).then(&["device.versions_reported", regressed]);
}

#[test]
fn rebooting_before_or_after_completed_is_recorded_once() {
    given([claimed(), vec![says(S::Rebooting)]].concat()).when(says(S::Rebooting)).then(&[]);
    given(claimed()).when(says(S::Rebooting)).then(&["update.rebooting 1/1"]);
    given(working(S::Rebooting)).when(says(S::Completed)).then(&[]);
}

/// Older logs don't have the field: there `rebooting` means a restart.
#[test]
fn an_old_rebooting_event_counts_as_an_announced_restart() {
    let mut events = events_of(&still_old());
    for event in &mut events {
        if let DeviceEvent::UpdateRebooting { unseen, .. } = event {
            *unseen = false;
        }
    }
    Given(events).when(in_session("s1", "1.0.0")).then(&[FELL_BACK]);
}

//! Proof of running, silent rollback and regression.

use ReportStatus as S;

use super::*;

const CONFIRMED: &str = "update.confirmed 1/1 2.0.0";
const FELL_BACK: &str = "update.attempt_failed 1/1 version_regressed";

fn without_reboot() -> Vec<DeviceCommand> {
    let mut request = wanted("2.0.0");
    request.firmware.requires_reboot = false;
    [online(), vec![ask(request), says(S::Received), says(S::Installing)]].concat()
}

/// A device that has never sent a boot id.
fn without_boots(until: S) -> Vec<DeviceCommand> {
    [vec![register(), status_without_boot("1.0.0")], working(until)[2..].to_vec()].concat()
}

fn confirmed() -> Vec<DeviceCommand> {
    [working(S::Installing), vec![status("b2", "2.0.0")]].concat()
}

#[test]
fn an_update_is_confirmed_by_a_new_boot_with_its_version() {
    given(working(S::Installing)).when(status("b2", "2.0.0")).then(&[CONFIRMED]);
    given([working(S::Installing), vec![says(S::Completed)]].concat()).when(status("b2", "2.0.0")).then(&[CONFIRMED]);
    given(working(S::Installing)).when(status("b1", "2.0.0")).then(&["device.versions_reported 2.0.0"]);
    given(working(S::Rebooting)).when(status("b1", "1.0.0")).then(&[]);
}

#[test]
fn completed_alone_proves_nothing() {
    given(working(S::Installing)).when(says(S::Completed)).then(&["update.rebooting 1/1"]);
    given(working(S::Rebooting)).when(says(S::Completed)).then(&[]);
}

#[test]
fn the_proof_may_come_before_the_reports() {
    given(dispatched()).when(status("b2", "2.0.0")).then(&[CONFIRMED]);
    given(working(S::Downloading)).when(status("b2", "2.0.0")).then(&[CONFIRMED]);
    given([working(S::Downloading), vec![status("b2", "2.0.0")]].concat()).when(says(S::Completed)).then(&[]);
}

#[test]
fn an_image_on_trial_is_confirmed_only_when_it_is_marked_good() {
    given(working(S::Installing))
        .when(trial("b2", "2.0.0"))
        .then(&["device.versions_reported 2.0.0", "update.rebooting 1/1"]);
    let on_trial = [working(S::Installing), vec![trial("b2", "2.0.0")]].concat();
    given(on_trial.clone()).when(trial("b2", "2.0.0")).then(&[]);
    given(on_trial.clone()).when(says(S::Completed)).then(&[]);
    given(on_trial.clone()).when(status("b2", "2.0.0")).then(&[CONFIRMED]);
    given(on_trial).when(status("b3", "1.0.0")).then(&["device.versions_reported 1.0.0", FELL_BACK]);
}

#[test]
fn a_trial_does_not_become_a_confirmation_by_a_retry() {
    given([working(S::Installing), vec![trial("b2", "2.0.0")]].concat())
        .and(0, fails(1, "health_check_failed"))
        .when_at(30, DeviceCommand::SeenOnline)
        .then(&["update.dispatched 1/2"]);
}

#[test]
fn a_target_that_already_runs_is_confirmed_before_a_retry_is_sent() {
    given([working(S::Installing), vec![status("b1", "2.0.0")]].concat())
        .and(0, fails(1, "x_odd"))
        .when_at(30, DeviceCommand::SeenOnline)
        .then(&[CONFIRMED]);
}

#[test]
fn without_boot_ids_a_status_after_the_claim_proves() {
    given(without_boots(S::Installing)).when(status_without_boot("2.0.0")).then(&["device.versions_reported 2.0.0"]);
    given(without_boots(S::Rebooting)).when(status_without_boot("2.0.0")).then(&[CONFIRMED]);
    given(without_boots(S::Rebooting))
        .when(status_without_boot("1.0.0"))
        .then(&["update.attempt_failed 1/1 version_regressed"]);
}

#[test]
fn without_a_reboot_the_status_after_the_claim_proves() {
    given(without_reboot()).when(status("b1", "2.0.0")).then(&["device.versions_reported 2.0.0"]);
    given([without_reboot(), vec![says(S::Completed)]].concat()).when(status("b1", "2.0.0")).then(&[CONFIRMED]);
}

#[test]
fn a_silent_rollback_needs_a_new_boot_at_or_after_installing() {
    for until in [S::Received, S::Downloading, S::Verifying] {
        given(working(until)).when(status("b2", "1.0.0")).then(&["device.versions_reported"]);
    }
    for until in [S::Installing, S::Rebooting] {
        given(working(until)).when(status("b1", "1.0.0")).then(&[]);
        given(working(until)).when(status("b2", "1.0.0")).then(&["device.versions_reported", FELL_BACK]);
    }
}

#[test]
fn the_first_boot_id_of_a_device_is_no_new_boot() {
    given(without_boots(S::Installing)).when(status("b1", "1.0.0")).then(&["device.versions_reported"]);
    given(without_boots(S::Installing)).when(status("b1", "2.0.0")).then(&[CONFIRMED]);
    given(without_boots(S::Rebooting)).when(status("b1", "1.0.0")).then(&["device.versions_reported", FELL_BACK]);
}

#[test]
fn a_boot_before_installing_resumes_the_attempt() {
    let resumed = [working(S::Downloading), vec![status("b2", "1.0.0"), says(S::Installing)]].concat();
    given(resumed.clone()).when(status("b2", "1.0.0")).then(&[]);
    given(resumed).when(status("b3", "2.0.0")).then(&[CONFIRMED]);
}

#[test]
fn a_repeated_status_of_an_old_boot_has_no_effect() {
    let past = [working(S::Downloading), vec![status("b2", "1.0.0"), says(S::Installing)]].concat();
    given(past).when(status("b1", "1.0.0")).then(&[]);
    given(confirmed()).when(status("b1", "1.0.0")).then(&[]);
}

#[test]
fn a_reinstallation_is_proven_only_after_installing() {
    let again = ask(UpdateRequest { force_update: true, ..wanted("1.0.0") });
    let past = [online(), vec![again, says(S::Downloading)]].concat();
    given(past.clone()).when(status("b2", "1.0.0")).then(&["device.versions_reported"]);
    given([past, vec![says(S::Installing)]].concat()).when(status("b2", "1.0.0")).then(&["update.confirmed 1/1 1.0.0"]);
}

#[test]
fn a_device_that_claims_completion_and_runs_the_old_version_has_failed() {
    let claimed = [working(S::Installing), vec![says(S::Completed)]].concat();
    given(claimed).when(status("b2", "1.0.0")).then(&["device.versions_reported", FELL_BACK]);
}

#[test]
fn a_confirmed_version_that_is_gone_is_a_regression_once() {
    let gone = ["device.versions_reported 1.0.0", "device.version_regressed 1/1 2.0.0 to 1.0.0"];
    given(confirmed()).when(status("b3", "1.0.0")).then(&gone);
    given([confirmed(), vec![status("b3", "1.0.0")]].concat())
        .when(status("b4", "1.0.0"))
        .then(&["device.versions_reported"]);
    given(confirmed()).when(status("b3", "2.0.0")).then(&["device.versions_reported"]);
}

#[test]
fn a_regression_is_detected_while_another_update_is_live() {
    given([confirmed(), vec![update_to("3.0.0"), report(2, 1, S::Downloading)]].concat())
        .when(status("b3", "1.0.0"))
        .then(&["device.versions_reported 1.0.0", "device.version_regressed 1/1 2.0.0 to 1.0.0"]);
    given([confirmed(), vec![update_to("3.0.0"), report(2, 1, S::Installing)]].concat())
        .when(status("b3", "2.0.0"))
        .then(&["device.versions_reported", "update.attempt_failed 2/1 version_regressed"]);
}

#[test]
fn an_update_that_finishes_after_its_end_is_no_regression_of_the_previous_one() {
    let over = expire(2, 1, Phase::Installing, Clock::Total);
    given([confirmed(), vec![update_to("3.0.0"), report(2, 1, S::Installing), over]].concat())
        .when(status("b3", "3.0.0"))
        .then(&["device.versions_reported 3.0.0"]);
}

#[test]
fn a_device_that_installs_a_withdrawn_update_is_confirmed() {
    let past = [dispatched(), vec![expire(1, 1, Phase::Dispatched, Clock::Phase)]].concat();
    given(past).when(status("b2", "2.0.0")).then(&["device.came_online", CONFIRMED]);
}

/// Rule 3 of the protocol: a device that already runs the version reports `completed` and installs nothing, so no boot follows.
#[test]
fn a_forced_reinstallation_that_the_device_skips_is_proven_by_its_report() {
    let force = |version: &str| ask(UpdateRequest { force_update: true, ..wanted(version) });
    let confirmed =
        ["update.accepted 1/1", "update.rebooting 1/1", "update.rebooting 1/1", "update.confirmed 1/1 1.0.0"];
    given([online(), vec![force("1.0.0")]].concat()).when(says(S::Completed)).then(&confirmed);
    let received = [online(), vec![force("1.0.0"), says(S::Received)]].concat();
    given(received).when(says(S::Completed)).then(&confirmed[1..]);
    let installing = [online(), vec![force("1.0.0"), says(S::Received), says(S::Installing)]].concat();
    given(installing).when(says(S::Completed)).then(&confirmed[1..3]);
    let on_trial = [registered(), vec![trial("b1", "1.0.0"), force("1.0.0")]].concat();
    given(on_trial).when(says(S::Completed)).then(&confirmed[..3]);
    given(dispatched()).when(says(S::Completed)).then(&confirmed[..2]);
}

#[test]
fn a_forced_reinstallation_is_proven_by_a_boot_since_installing_only() {
    let force = ask(UpdateRequest { force_update: true, ..wanted("1.0.0") });
    let begun = [online(), vec![force, says(S::Received), status("b2", "1.0.0"), says(S::Installing)]].concat();
    given(begun.clone()).when(status("b2", "1.0.0")).then(&[]);
    given(begun.clone()).when(status("b3", "1.0.0")).then(&["update.confirmed 1/1 1.0.0"]);
    let rebooting = [begun.clone(), vec![says(S::Rebooting)]].concat();
    given(rebooting.clone()).when(status("b2", "1.0.0")).then(&[]);
    given(rebooting).when(status("b3", "1.0.0")).then(&["update.confirmed 1/1 1.0.0"]);
    let claimed = [begun, vec![says(S::Rebooting)]].concat();
    given(claimed).when(says(S::Completed)).then(&["update.rebooting 1/1", "update.confirmed 1/1 1.0.0"]);
}

#[test]
fn a_leading_v_makes_no_difference_to_a_version() {
    given(working(S::Rebooting)).when(status("b2", "v2.0.0")).then(&["update.confirmed 1/1 2.0.0"]);
    let confirmed = [working(S::Rebooting), vec![status("b2", "2.0.0")]].concat();
    given(confirmed).when(status("b3", "v2.0.0")).then(&["device.versions_reported v2.0.0"]);
}

#[test]
fn a_version_after_wrong_bytes_proves_nothing() {
    let wrong = Report { sha256: Some(Sha256Digest::of(b"else")), ..plain_report(1, 1, S::Installing) };
    let past = [working(S::Downloading), vec![wrong.into()]].concat();
    given(past).when(status("b2", "2.0.0")).then(&["device.versions_reported 2.0.0"]);
}

#[test]
fn a_completion_of_an_attempt_that_has_ended_is_kept_as_late() {
    let past = [working(S::Downloading), vec![fails(1, "download_failed")]].concat();
    given(past.clone()).when(says(S::Completed)).then(&["update.reported_late 1/1 completed"]);
    given([past, vec![says(S::Completed)]].concat()).when(says(S::Completed)).then(&[]);
}

#[test]
fn boots_and_attributes_are_minor_and_versions_and_updates_are_not() {
    let minor = |version: Option<&str>| {
        let versions = version.map(versions).unwrap_or_default();
        let told = DeviceEvent::VersionsReported {
            boot_id: Some("b2".into()),
            versions,
            slot: None,
            trial: false,
            mark: None,
        };
        (told.is_self_report(), told.is_low_value())
    };
    assert_eq!((minor(None), minor(Some("2.0.0"))), ((true, true), (true, false)));
    let back = DeviceEvent::CameOnline { session: None, mark: None };
    assert_eq!((back.is_self_report(), back.is_low_value()), (false, false));
}

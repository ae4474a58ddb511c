//! Comparison of versions: reported versions, firmware versions, and which may be installed over which.

use ReportStatus as S;

use super::*;

/// A device that installs a firmware of this version.
fn installing(version: &str, reported_version: Option<&str>) -> Vec<DeviceCommand> {
    let mut request = wanted(version);
    request.firmware.reported_version = reported_version.map(str::to_owned);
    [online(), vec![ask(request), says(S::Received), says(S::Installing)]].concat()
}

fn runs(version: &str) -> Vec<DeviceCommand> {
    vec![register(), status("b1", version)]
}

#[test]
fn a_version_in_another_spelling_is_proof() {
    for (firmware, reported) in [
        ("2.1.0", "2.1.0+b7"),
        ("28.0.0", "28.00.00"),
        ("2.1.0", "2.1"),
        ("2.1.0", "2.1.0.0"),
        ("2.1.0", "v2.1.0"),
        ("2.1.0+b7", "2.1.0"),
    ] {
        let confirmed = format!("update.confirmed 1/1 {firmware}");
        let past = installing(firmware, None);
        given(past.clone()).when(status("b2", reported)).then(&[&confirmed]);
        let after = [past, vec![status("b2", reported)]].concat();
        given(after.clone()).when(status("b2", reported)).then(&[]);
        assert_eq!(state_of(&after).versions[FIRMWARE_COMPONENT], reported, "shown in the device's own spelling");
        given(after).when(update_to(firmware)).refused("not_eligible");
    }
}

#[test]
fn two_different_labels_are_different_builds() {
    given(runs("2.1.0+g4f1c"))
        .when(update_to("2.1.0+g5a5a"))
        .then(&["update.queued 1/0 2.1.0+g5a5a", "update.dispatched 1/1"]);
    given(installing("2.1.0+g5a5a", None))
        .when(status("b2", "2.1.0+g4f1c"))
        .then(&["device.versions_reported 2.1.0+g4f1c", "update.attempt_failed 1/1 version_regressed"]);
}

#[test]
fn a_declared_label_must_be_reported() {
    let past = installing("2.1.0", Some("2.1.0+b7"));
    given(past.clone()).when(status("b2", "2.1.0+b7")).then(&["update.confirmed 1/1 2.1.0"]);
    given(past)
        .when(status("b2", "2.1.0+b6"))
        .then(&["device.versions_reported 2.1.0+b6", "update.attempt_failed 1/1 version_regressed"]);
    let mut request = wanted("2.1.0");
    request.firmware.reported_version = Some("2.1.0+b7".into());
    given(runs("2.1.0+b7")).when(ask(request.clone())).refused("not_eligible");
    given(runs("2.1.0+b6")).when(ask(request)).then(&["update.queued 1/0 2.1.0", "update.dispatched 1/1"]);
}

#[test]
fn a_changed_spelling_of_a_version_is_no_regression() {
    let confirmed = [installing("2.1.0", None), vec![status("b2", "2.1.0+b7")]].concat();
    given(confirmed.clone()).when(status("b3", "2.1.0+b8")).then(&["device.versions_reported 2.1.0+b8"]);
    given(confirmed)
        .when(status("b3", "2.0.0"))
        .then(&["device.versions_reported 2.0.0", "device.version_regressed 1/1 2.1.0+b7 to 2.0.0"]);
}

//! Updates that don't leave *verifying* before the device has reported the SHA-256 of what it received.

use ReportStatus as S;

use super::*;

const CONFIRMED: &str = "update.confirmed 1/1 2.0.0";
const REPORTED: &str = "update.digest_reported 1/1";

fn required() -> UpdateRequest {
    UpdateRequest { require_digest_report: true, ..wanted("2.0.0") }
}

fn with_digest(attempt: u16, status: S) -> DeviceCommand {
    let sha256 = Some(firmware("2.0.0").sha256);
    Report { sha256, ..plain_report(1, attempt, status) }.into()
}

/// Dispatched, and reported in order up to *verifying*, without the digest.
fn verifying() -> Vec<DeviceCommand> {
    [online(), vec![ask(required()), says(S::Received), says(S::Downloading), says(S::Verifying)]].concat()
}

fn after(more: &[DeviceCommand]) -> Vec<DeviceCommand> {
    [&verifying(), more].concat()
}

#[test]
fn the_digest_may_come_with_each_report_up_to_the_one_that_leaves_verifying() {
    for status in [S::Downloading, S::Verifying] {
        given(verifying()).when(with_digest(1, status)).then(&[REPORTED]);
        let reported = after(&[with_digest(1, status)]);
        given(reported.clone()).when(with_digest(1, status)).then(&[]);
        given(reported.clone()).when(says(S::Installing)).then(&["update.installing 1/1"]);
        given(reported).when(status_after_boot()).then(&[CONFIRMED]);
    }
    given(verifying()).when(with_digest(1, S::Installing)).then(&[REPORTED, "update.installing 1/1"]);
    given(verifying()).when(with_digest(1, S::Completed)).then(&[REPORTED, "update.rebooting 1/1"]);
    let dispatched = [online(), vec![ask(required())]].concat();
    given(dispatched).when(with_digest(1, S::Installing)).then(&[
        "update.accepted 1/1",
        REPORTED,
        "update.installing 1/1",
    ]);
}

fn status_after_boot() -> DeviceCommand {
    status("b2", "2.0.0")
}

#[test]
fn without_the_digest_no_report_leaves_verifying() {
    for (word, said) in
        [(S::Installing, "installing"), (S::Rebooting, "rebooting"), (S::Completed, "completed"), (S::Staged, "staged")]
    {
        given(verifying()).when(says(word)).then(&[&format!("update.digest_missing 1/1 {said}")]);
        let state = state_of(&after(&[says(word)]));
        let update = state.update(1).unwrap();
        assert_eq!(update.phase, Phase::Verifying);
        assert!(update.lacks_digest() && update.needs_digest());
        given(after(&[says(word)])).when(says(word)).then(&[]);
    }
    given(after(&[says(S::Rebooting)])).when(says(S::Installing)).then(&[]);
    given(after(&[says(S::Installing)])).when(says(S::Completed)).then(&["update.digest_missing 1/1 completed"]);
}

#[test]
fn a_device_that_skips_verifying_is_held_there_too() {
    let received = [online(), vec![ask(required()), says(S::Received)]].concat();
    given(received).when(says(S::Installing)).then(&["update.digest_missing 1/1 installing"]);
    let dispatched = [online(), vec![ask(required())]].concat();
    given(dispatched.clone())
        .when(says(S::Completed))
        .then(&["update.accepted 1/1", "update.digest_missing 1/1 completed"]);
    given(dispatched).when(status_after_boot()).then(&[
        "device.versions_reported 2.0.0",
        "update.accepted 1/1",
        "update.digest_missing 1/1 runs",
    ]);
}

#[test]
fn the_new_version_is_no_proof_without_the_digest() {
    let runs = after(&[says(S::Installing), status_after_boot()]);
    given(after(&[says(S::Installing)]))
        .when(status_after_boot())
        .then(&["device.versions_reported 2.0.0", "update.digest_missing 1/1 runs"]);
    given(runs.clone()).when(status_after_boot()).then(&[]);
    given(runs.clone()).when(says(S::Completed)).then(&["update.digest_missing 1/1 completed"]);
    given(runs).when(with_digest(1, S::Completed)).then(&[REPORTED, "update.installing 1/1", CONFIRMED]);
}

#[test]
fn a_late_digest_brings_the_update_to_where_its_device_is() {
    given(after(&[says(S::Installing)])).when(with_digest(1, S::Verifying)).then(&[REPORTED, "update.installing 1/1"]);
    let rebooting = after(&[says(S::Installing), says(S::Rebooting)]);
    given(rebooting.clone()).when(with_digest(1, S::Verifying)).then(&[REPORTED, "update.rebooting 1/1"]);
    given([rebooting, vec![with_digest(1, S::Verifying)]].concat()).when(status_after_boot()).then(&[CONFIRMED]);
}

#[test]
fn a_digest_that_waybill_reads_late_counts() {
    let marked = |sequence, command: DeviceCommand| {
        let mark = Mark { topic: MarkTopic::Report, incarnation_ms: 7, sequence, frame: None };
        command.arrived(Arrival { mark: Some(mark), ..Arrival::default() })
    };
    let held = after(&[marked(12, says(S::Installing))]);
    given(held.clone()).when(marked(11, with_digest(1, S::Verifying))).then(&[REPORTED, "update.installing 1/1"]);
    given(held)
        .and(0, marked(11, with_digest(1, S::Verifying)))
        .when(marked(11, with_digest(1, S::Verifying)))
        .then(&[]);
}

#[test]
fn a_missing_digest_ends_the_update_for_good_and_silence_does_not() {
    let expired = expire(1, 1, Phase::Verifying, Clock::Phase);
    given(verifying()).when(expired.clone()).then(&["update.attempt_failed 1/1 x_silent"]);
    given(after(&[says(S::Installing)])).when(expired.clone()).then(&["update.failed 1/1 x_digest_missing"]);
    given(after(&[says(S::Installing), with_digest(1, S::Installing)])).when(expired).then(&[]);
    let runs = after(&[says(S::Installing), status_after_boot()]);
    given(runs)
        .and(0, expire(1, 1, Phase::Verifying, Clock::Phase))
        .when(with_digest(1, S::Completed))
        .then(&["update.reported_late 1/1 completed"]);
}

#[test]
fn other_bytes_fail_as_without_the_option() {
    let other = Report { sha256: Some(Sha256Digest::of(b"other")), ..plain_report(1, 1, S::Verifying) };
    given(verifying()).when(other.into()).then(&["update.attempt_failed 1/1 digest_mismatch"]);
}

#[test]
fn a_fallback_and_the_point_of_no_return_count_while_the_digest_is_missing() {
    let installing = after(&[says(S::Installing)]);
    given(installing.clone()).when(cancel(1)).refused("cancel_too_late");
    given(installing)
        .when(status("b2", "1.0.0"))
        .then(&["device.versions_reported", "update.attempt_failed 1/1 version_regressed"]);
    given(verifying()).when(cancel(1)).then(&["update.cancelling 1/1"]);
    given(after(&[cancel(1)]))
        .when(says(S::Installing))
        .then(&["update.cancel_refused 1/1", "update.digest_missing 1/1 installing"]);
}

#[test]
fn a_device_that_installs_without_its_digest_does_not_defer() {
    let installing = after(&[says(S::Installing)]);
    given(installing.clone()).when(defers(1, 60)).then(&[]);
    // With a failure it says that it has stopped.
    let stopped = [installing, vec![fails(1, "low_battery")]].concat();
    let again = given(stopped).and(900, expire(1, 1, Phase::Deferred, Clock::Phase)).and(901, says(S::Received));
    again.when_at(902, defers(1, 60)).then(&["update.deferred 1/1"]);
}

#[test]
fn each_attempt_needs_a_digest_of_its_own() {
    let failed = after(&[with_digest(1, S::Verifying), fails(1, "install_failed")]);
    let again = given(failed).and(30, DeviceCommand::SeenOnline);
    again
        .and(30, report(1, 2, S::Received))
        .when_at(30, report(1, 2, S::Installing))
        .then(&["update.digest_missing 1/2 installing"]);
}

#[test]
fn a_deferral_keeps_the_digest_of_its_attempt() {
    let deferred = after(&[with_digest(1, S::Verifying), defers(1, 60)]);
    let told = given(deferred).and(60, expire(1, 1, Phase::Deferred, Clock::Phase));
    assert!(told.last().ends_with("update.dispatched 1/1"), "{}", told.last());
    told.and(61, says(S::Received)).when_at(62, says(S::Installing)).then(&["update.installing 1/1"]);
}

#[test]
fn a_target_that_runs_is_told_again_and_confirmed_with_the_digest() {
    let came_back = given(after(&[fails(1, "download_failed"), status_after_boot()]));
    let told = came_back.and(30, DeviceCommand::SeenOnline);
    assert!(told.last().ends_with("update.dispatched 1/2"), "{}", told.last());
    told.when_at(31, with_digest(2, S::Completed)).then(&[
        "update.accepted 1/2",
        "update.digest_reported 1/2",
        "update.confirmed 1/2 2.0.0",
    ]);
}

#[test]
fn without_the_option_no_digest_is_recorded() {
    given(working(S::Verifying)).when(with_digest(1, S::Verifying)).then(&[]);
    given(working(S::Verifying)).when(says(S::Installing)).then(&["update.installing 1/1"]);
}

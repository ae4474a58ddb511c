//! One entry per update, with its outcome.

use chrono::DateTime;

use super::*;

const POSITION: u64 = 9;

fn row(versions: &[(&str, &str)]) -> DeviceRow {
    let versions = versions.iter().map(|(of, version)| ((*of).to_owned(), (*version).to_owned())).collect();
    DeviceRow { versions, ..DeviceRow::unregistered("t".into(), "d".into(), DateTime::UNIX_EPOCH) }
}

fn sent(version: &str) -> Sent {
    Sent {
        firmware: SentFirmware { component: "firmware".into(), version: version.into(), reported_version: None },
        campaign: None,
        told: true,
        outcome: None,
        entry: None,
    }
}

fn reports(version: &str, trial: bool) -> E {
    let versions = match version {
        "" => BTreeMap::new(),
        version => BTreeMap::from([("firmware".to_owned(), version.to_owned())]),
    };
    serde_json::from_value(serde_json::json!({
        "type": "device.versions_reported", "versions": versions, "trial": trial
    }))
    .unwrap()
}

fn event(kind: &str, more: serde_json::Value) -> E {
    let mut event = serde_json::json!({"type": kind, "update": {"ordinal": 7, "attempt": 1}});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(event).unwrap()
}

fn confirmed(version: &str) -> E {
    event("update.confirmed", serde_json::json!({"component": "firmware", "version": version}))
}

fn timed_out() -> E {
    event("update.timed_out", serde_json::json!({"phase": "rebooting"}))
}

fn news(changes: &[Change]) -> Vec<(&'static str, Option<u32>)> {
    let new = |change: &Change| match change {
        Change::New(change) => Some((change.cause, change.update.map(|(ordinal, _)| ordinal))),
        Change::Settled { .. } => None,
    };
    changes.iter().filter_map(new).collect()
}

#[test]
fn a_regression_is_recorded_once() {
    let regressed = event(
        "device.version_regressed",
        serde_json::json!({"component": "firmware", "from_version": "2.0.0", "to_version": "1.0.0"}),
    );
    let changes = row(&[("firmware", "2.0.0")]).apply_versions(POSITION, &[reports("1.0.0", false), regressed]);
    assert_eq!(news(&changes), [("regressed", Some(7))]);
}

#[test]
fn a_trial_and_its_confirmation_are_one_entry() {
    let mut row = row(&[("firmware", "1.0.0")]);
    row.sent.insert(7, sent("2.0.0"));
    assert_eq!(news(&row.apply_versions(POSITION, &[reports("2.0.0", true)])), [("unconfirmed", Some(7))]);
    let entry = Entry { position: POSITION, index: 0 };
    let settled = Change::Settled { entry, cause: Some("confirmed"), outcome: Some("confirmed") };
    assert_eq!(row.apply_versions(POSITION + 1, &[confirmed("2.0.0")]), [settled]);
}

#[test]
fn a_trial_that_fails_falls_back_by_its_update() {
    let mut row = row(&[("firmware", "1.0.0")]);
    row.sent.insert(7, sent("2.0.0"));
    row.apply_versions(POSITION, &[reports("2.0.0", true)]);
    let changes = row.apply_versions(POSITION + 1, &[reports("1.0.0", false)]);
    assert_eq!(news(&changes), [("fell_back", Some(7))]);
    let entry = Entry { position: POSITION, index: 0 };
    assert!(changes.contains(&Change::Settled { entry, cause: None, outcome: Some("fell_back") }));
}

#[test]
fn a_trial_that_is_confirmed_after_its_update_timed_out_is_a_late_confirmation() {
    let mut row = row(&[("firmware", "1.0.0")]);
    row.sent.insert(7, sent("2.0.0"));
    row.apply_versions(POSITION, &[reports("2.0.0", true)]);
    let entry = Entry { position: POSITION, index: 0 };
    let ended = row.apply_versions(POSITION + 1, &[timed_out()]);
    assert_eq!(ended, [Change::Settled { entry, cause: None, outcome: Some("timed_out") }]);
    let late = row.apply_versions(POSITION + 2, &[reports("", false)]);
    assert_eq!(late, [Change::Settled { entry, cause: Some("late"), outcome: None }]);
}

#[test]
fn the_version_of_an_update_that_had_ended_is_a_late_confirmation() {
    let mut row = row(&[("firmware", "1.0.0")]);
    row.sent.insert(7, sent("2.0.0"));
    row.apply_versions(POSITION, &[timed_out()]);
    let changes = row.apply_versions(POSITION, &[reports("v2.0.0", false)]);
    assert_eq!(news(&changes), [("late", Some(7))]);
    assert!(row.apply_versions(POSITION, &[reports("v2.0.0", false)]).is_empty(), "the same again is no change");
    assert_eq!(news(&row.apply_versions(POSITION, &[reports("3.0.0", false)])), [("reported", None)]);
}

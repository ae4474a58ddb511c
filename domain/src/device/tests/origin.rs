//! Which event explains the version that a device runs.

use ReportStatus as S;

use super::*;
use crate::device::{OriginKind as K, version_origin};

/// The version, how it came, and the event that explains it.
fn origin(commands: Vec<DeviceCommand>) -> (Option<String>, Option<(K, String)>) {
    let events = events_of(&commands);
    let (version, origin) = version_origin(&events, FIRMWARE_COMPONENT);
    (version, origin.map(|origin| (origin.kind, said(&events[origin.event]))))
}

fn is(version: &str, kind: K, event: &str) -> (Option<String>, Option<(K, String)>) {
    (Some(version.to_owned()), Some((kind, event.to_owned())))
}

#[test]
fn every_version_has_an_event_that_explains_it() {
    let confirmed = [working(S::Installing), vec![status("b2", "2.0.0")]].concat();
    let again = [confirmed.clone(), vec![status("b3", "2.0.0")]].concat();
    let regressed = [confirmed.clone(), vec![status("b3", "1.0.0")]].concat();
    let failed = [dispatched(), vec![fails(1, "unsupported")]].concat();
    let on_trial = [working(S::Installing), vec![trial("b2", "2.0.0")]].concat();
    let proved = [on_trial.clone(), vec![status("b2", "2.0.0")]].concat();
    let cases = [
        (registered(), is("1.0.0", K::Stated, "device.registered")),
        (online(), is("1.0.0", K::Stated, "device.registered")),
        (failed, is("1.0.0", K::Stated, "device.registered")),
        (confirmed, is("2.0.0", K::Confirmed, "update.confirmed 1/1 2.0.0")),
        (again, is("2.0.0", K::Confirmed, "update.confirmed 1/1 2.0.0")),
        (regressed, is("1.0.0", K::Regressed, "device.version_regressed 1/1 2.0.0 to 1.0.0")),
        (on_trial, is("2.0.0", K::Reported, "device.versions_reported 2.0.0")),
        (proved, is("2.0.0", K::Confirmed, "update.confirmed 1/1 2.0.0")),
        ([online(), vec![status("b2", "1.5.0")]].concat(), is("1.5.0", K::Reported, "device.versions_reported 1.5.0")),
    ];
    for (commands, expected) in cases {
        assert_eq!(origin(commands), expected);
    }
    let nameless = DeviceCommand::Register { profile: profile(), versions: BTreeMap::new() };
    assert_eq!(origin(vec![nameless]), (None, None));
}

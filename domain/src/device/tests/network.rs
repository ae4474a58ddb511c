//! The copy of a device in its LoRaWAN network server.

use proptest::prelude::*;

use super::*;
use crate::device::network::NetworkCommand as N;

const EUI: &str = "0102030405060708";
const OTHER_EUI: &str = "0102030405060709";

fn lorawan() -> DeviceCommand {
    let profile = Profile { lorawan_dev_eui: Some(EUI.into()), chirpstack_app_id: Some("app-1".into()), ..profile() };
    DeviceCommand::Register { profile, versions: versions("1.0.0") }
}

fn amend(json: &str) -> DeviceCommand {
    DeviceCommand::Amend { patch: serde_json::from_str(json).unwrap(), versions: BTreeMap::new() }
}

fn network(wanted: N) -> DeviceCommand {
    DeviceCommand::Network { wanted }
}

fn target(device: &Device) -> NetworkTarget {
    device.network().unwrap().target.clone().unwrap()
}

/// What the reconciler reports of a device that it sees so.
fn synced(device: &Device, created: bool) -> DeviceCommand {
    let NetworkTarget { dev_eui, fingerprint } = target(device);
    let device_profile_id = "dp-1".to_owned();
    network(N::RecordSynced { dev_eui, fingerprint, created, is_disabled: false, device_profile_id })
}

fn failed(device: &Device) -> DeviceCommand {
    let of = target(device).fingerprint;
    network(N::RecordFailed { of, code: "invalid".into(), reason: "no".into(), connection: Some(1) })
}

fn removed(dev_eui: &str) -> DeviceCommand {
    network(N::RecordRemoved { dev_eui: dev_eui.into() })
}

fn drift(device: &Device, drift: NetworkDrift) -> DeviceCommand {
    let fingerprint = device.network().unwrap().copy.as_ref().unwrap().fingerprint.clone();
    network(N::RecordDrift { fingerprint, drift })
}

fn then(device: &mut Device, command: &DeviceCommand) -> Vec<String> {
    let events = device.decide(at(0), command).unwrap_or_else(|no| panic!("{command:?}: {no}"));
    events.iter().for_each(|event| device.apply(event));
    events.iter().map(said).collect()
}

/// In step, with a copy that Waybill has created or found.
fn in_step(created: bool) -> Device {
    let mut device = state_of(&[lorawan()]);
    let command = synced(&device, created);
    assert_eq!(then(&mut device, &command), ["device.network_synced"]);
    assert_eq!(device.sync_state(), SyncState::Synced);
    device
}

#[test]
fn only_an_eui_with_an_application_has_a_copy() {
    assert_eq!(state_of(&registered()).sync_state(), SyncState::NotApplicable);
    let profile = Profile { lorawan_dev_eui: Some(EUI.into()), ..profile() };
    let mut device = state_of(&[DeviceCommand::Register { profile, versions: versions("1.0.0") }]);
    assert_eq!(device.sync_state(), SyncState::NotApplicable);
    let refused = device.decide(at(0), &network(N::RequestSync)).unwrap_err();
    assert_eq!(refused.code(), "network_not_applicable");
    then(&mut device, &amend(r#"{"chirpstack_app_id":"app-1"}"#));
    assert_eq!(device.sync_state(), SyncState::Pending);
}

#[test]
fn a_change_of_what_the_copy_is_made_from_makes_it_pending() {
    for patch in [
        r#"{"name":"n"}"#,
        r#"{"device_profile_id":"dp"}"#,
        r#"{"join_eui":"0000000000000001"}"#,
        r#"{"chirpstack_app_id":"app-2"}"#,
    ] {
        let mut device = in_step(true);
        then(&mut device, &amend(patch));
        assert_eq!(device.sync_state(), SyncState::Pending, "{patch}");
        assert!(device.network().unwrap().leftovers.is_empty());
    }
    let mut device = in_step(true);
    then(&mut device, &amend(r#"{"tags":{"site":"x"}}"#));
    assert_eq!(device.sync_state(), SyncState::Synced);
}

#[test]
fn a_report_of_an_older_state_changes_nothing() {
    let mut device = state_of(&[lorawan()]);
    let (late, late_failure) = (synced(&device, true), failed(&device));
    then(&mut device, &amend(r#"{"name":"n"}"#));
    assert_eq!(then(&mut device, &late), [""; 0]);
    assert_eq!(then(&mut device, &late_failure), [""; 0]);
    assert_eq!(device.sync_state(), SyncState::Pending);
    let command = synced(&device, true);
    then(&mut device, &command);
    assert_eq!(then(&mut device, &command), [""; 0], "a repeated report adds nothing");
    let of_written = failed(&device);
    assert_eq!(then(&mut device, &of_written), [""; 0]);
    assert_eq!(device.sync_state(), SyncState::Synced);
}

#[test]
fn a_refused_device_waits_for_a_change_or_a_request() {
    let mut device = state_of(&[lorawan()]);
    let command = failed(&device);
    assert_eq!(then(&mut device, &command), ["device.network_sync_failed"]);
    assert_eq!(then(&mut device, &command), [""; 0]);
    assert_eq!(device.sync_state(), SyncState::Failed);
    let mut changed = device.clone();
    then(&mut changed, &amend(r#"{"device_profile_id":"dp"}"#));
    assert_eq!(changed.sync_state(), SyncState::Pending);
    assert_eq!(then(&mut device, &network(N::RequestSync)), ["device.network_sync_requested"]);
    assert_eq!(device.sync_state(), SyncState::Pending);
    assert_eq!(then(&mut device, &network(N::RequestSync)), [""; 0], "it is pending already");
}

#[test]
fn what_waybill_created_is_removed_and_what_it_found_stays() {
    for (created, expected) in [(true, vec![EUI.to_owned()]), (false, vec![])] {
        for command in
            [DeviceCommand::Decommission, amend(r#"{"lorawan_dev_eui":null}"#), amend(r#"{"chirpstack_app_id":null}"#)]
        {
            let mut device = in_step(created);
            then(&mut device, &command);
            let leftovers = device.network().map(|network| network.leftovers.clone()).unwrap_or_default();
            assert_eq!(leftovers, expected);
            assert_eq!(device.sync_state() == SyncState::Pending, created);
            let events = then(&mut device, &removed(EUI));
            assert_eq!(events.len(), expected.len());
            assert_eq!(device.sync_state(), SyncState::NotApplicable);
        }
    }
}

#[test]
fn a_copy_that_may_have_been_created_before_a_crash_is_looked_for() {
    let mut device = state_of(&[lorawan()]);
    then(&mut device, &amend(&format!(r#"{{"lorawan_dev_eui":"{OTHER_EUI}"}}"#)));
    assert_eq!(device.network().unwrap().leftovers, [EUI]);
    let command = synced(&device, true);
    then(&mut device, &command);
    assert_eq!(device.sync_state(), SyncState::Pending, "the former copy has to go");
    then(&mut device, &removed(EUI));
    assert_eq!(device.sync_state(), SyncState::Synced);
}

#[test]
fn a_copy_that_was_created_late_under_a_former_eui_is_removed_too() {
    let mut device = state_of(&[lorawan()]);
    let late = synced(&device, true);
    then(&mut device, &amend(&format!(r#"{{"lorawan_dev_eui":"{OTHER_EUI}"}}"#)));
    then(&mut device, &removed(EUI));
    assert_eq!(then(&mut device, &late), ["device.network_synced"]);
    assert_eq!(device.network().unwrap().leftovers, [EUI]);
}

#[test]
fn a_device_that_comes_back_keeps_its_copy() {
    let mut device = in_step(true);
    then(&mut device, &DeviceCommand::Decommission);
    then(&mut device, &lorawan());
    let network = device.network().unwrap();
    assert_eq!((network.leftovers.len(), device.sync_state()), (0, SyncState::Pending));
    assert_eq!(then(&mut device, &removed(EUI)), [""; 0]);
}

#[test]
fn drift_of_a_created_copy_is_repaired_and_of_another_is_shown() {
    let edited = || NetworkDrift::Seen { is_disabled: false, edited: vec!["name".into()] };
    let mut own = in_step(true);
    let command = drift(&own, edited());
    assert_eq!(then(&mut own, &command), ["device.network_changed"]);
    assert_eq!(own.sync_state(), SyncState::Pending);
    assert_eq!(then(&mut own, &command), [""; 0], "it is about to be written again");

    let mut others = in_step(false);
    let command = drift(&others, edited());
    assert_eq!(then(&mut others, &command), ["device.network_changed"]);
    assert_eq!(then(&mut others, &command), [""; 0]);
    assert_eq!(others.sync_state(), SyncState::Synced);
    assert_eq!(others.network().unwrap().copy.as_ref().unwrap().edited, ["name"]);
    let as_written = drift(&others, NetworkDrift::Seen { is_disabled: false, edited: vec![] });
    then(&mut others, &as_written);
    assert!(others.network().unwrap().copy.as_ref().unwrap().edited.is_empty());
}

#[test]
fn a_created_copy_that_was_deleted_is_made_again_and_another_is_not() {
    let mut own = in_step(true);
    let command = drift(&own, NetworkDrift::Removed);
    assert_eq!(then(&mut own, &command), ["device.network_removed"]);
    assert_eq!((own.sync_state(), own.network().unwrap().copy.is_none()), (SyncState::Pending, true));

    let mut others = in_step(false);
    let command = drift(&others, NetworkDrift::Removed);
    then(&mut others, &command);
    assert_eq!(others.sync_state(), SyncState::Failed);
    assert_eq!(others.network().unwrap().failure.as_ref().unwrap().code, CODE_REMOVED_THERE);
    then(&mut others, &network(N::RequestSync));
    assert_eq!(others.sync_state(), SyncState::Pending);
}

#[test]
fn a_device_that_is_disabled_over_there_is_shown_as_such() {
    let mut device = in_step(true);
    let command = drift(&device, NetworkDrift::Seen { is_disabled: true, edited: vec![] });
    assert_eq!(then(&mut device, &command), ["device.network_changed"]);
    assert!(device.network().unwrap().copy.as_ref().unwrap().is_disabled);
    assert_eq!(device.sync_state(), SyncState::Synced);
}

#[test]
fn new_keys_are_written_and_end_with_the_device() {
    let secret = LorawanKeys::secret_of(&DeviceId::new("d-1").unwrap());
    let set = network(N::SetKeys { keys: vec![LorawanKey::NwkKey, LorawanKey::NwkKey], secret });
    let mut device = in_step(true);
    assert_eq!(then(&mut device, &set), ["device.lorawan_keys_set"]);
    assert_eq!(device.sync_state(), SyncState::Pending);
    assert_eq!(device.network().unwrap().keys.as_ref().unwrap().which, [LorawanKey::NwkKey]);
    let mut without = device.clone();
    assert_eq!(then(&mut without, &network(N::RemoveKeys)), ["device.lorawan_keys_removed"]);
    assert_eq!(then(&mut without, &network(N::RemoveKeys)), [""; 0]);
    then(&mut device, &DeviceCommand::Decommission);
    assert_eq!(device.network().unwrap().keys, None);
    assert_eq!(device.decide(at(0), &set).unwrap_err().code(), "device_decommissioned");
}

/// A network server that holds what was created there, with reports that may be lost, late or repeated.
#[derive(Debug, Clone)]
enum Move {
    Amend(usize),
    Decommission,
    Register,
    /// Writes over there what the device wants, and reports it now, later, or never.
    Write {
        report: bool,
    },
    /// An old report arrives.
    Late(usize),
    /// Removes what is left over, and reports.
    Clean {
        report: bool,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0..4usize).prop_map(Move::Amend),
        1 => Just(Move::Decommission),
        2 => Just(Move::Register),
        4 => any::<bool>().prop_map(|report| Move::Write { report }),
        2 => (0..8usize).prop_map(Move::Late),
        3 => any::<bool>().prop_map(|report| Move::Clean { report }),
    ];
    proptest::collection::vec(one, 1..40)
}

const PATCHES: [&str; 4] = [
    r#"{"name":"n"}"#,
    r#"{"lorawan_dev_eui":"0102030405060709"}"#,
    r#"{"lorawan_dev_eui":"0102030405060708","chirpstack_app_id":"app-1"}"#,
    r#"{"chirpstack_app_id":null}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases(300)))]
    #[test]
    fn nothing_that_waybill_created_is_forgotten_over_there(story in moves()) {
        let mut device = state_of(&[lorawan()]);
        let mut there: std::collections::BTreeSet<String> = Default::default();
        let mut reports: Vec<DeviceCommand> = vec![];
        let tell = |device: &mut Device, command: &DeviceCommand| {
            if let Ok(events) = device.decide(at(0), command) {
                events.iter().for_each(|event| device.apply(event));
            }
        };
        let clean = |device: &mut Device, there: &mut std::collections::BTreeSet<String>, report: bool| {
            for eui in device.network().map(|network| network.leftovers.clone()).unwrap_or_default() {
                there.remove(&eui);
                if report {
                    tell(device, &removed(&eui));
                }
            }
        };
        for step in story {
            match step {
                Move::Amend(at) => tell(&mut device, &amend(PATCHES[at])),
                Move::Decommission => tell(&mut device, &DeviceCommand::Decommission),
                Move::Register => tell(&mut device, &lorawan()),
                Move::Write { report } => {
                    let Some(target) = device.network().and_then(|network| network.target.clone()) else { continue };
                    there.insert(target.dev_eui);
                    let command = synced(&device, true);
                    if report {
                        tell(&mut device, &command);
                    }
                    reports.push(command);
                }
                Move::Late(at) => if let Some(report) = reports.get(at) {
                    tell(&mut device, &report.clone());
                }
                Move::Clean { report } => clean(&mut device, &mut there, report),
            }
            let json = serde_json::to_value(device.network()).unwrap();
            let read: Option<Network> = serde_json::from_value(json).unwrap();
            prop_assert_eq!(read.as_ref(), device.network());
        }
        // Once everything is done that the device asks for, what is there is what it wants.
        clean(&mut device, &mut there, true);
        let wanted: std::collections::BTreeSet<String> =
            device.network().and_then(|network| network.target.clone()).map(|target| target.dev_eui).into_iter().collect();
        prop_assert!(there.is_subset(&wanted), "{:?} is there, wanted {:?}", there, wanted);
    }
}

//! Operators' commands on a device, and a device's reports about itself.

use super::*;

#[test]
fn a_device_is_registered_once() {
    given(vec![]).when(register()).then(&["device.registered"]);
    given(registered()).when(register()).then(&[]);
    let other = DeviceCommand::Register { profile: Profile::default(), versions: versions("1.0.0") };
    given(registered()).when(other).refused("device_exists");
}

#[test]
fn an_unknown_device_takes_no_commands() {
    for command in [update_to("2.0.0"), grant(1), says(ReportStatus::Received), DeviceCommand::SeenOnline, lost()] {
        given(vec![]).when(command).refused("device_unknown");
    }
}

#[test]
fn a_merge_patch_without_changes_gives_no_event() {
    let patch =
        |name: &str| ProfilePatch { manufacturer: crate::change::Change::Set(name.into()), ..ProfilePatch::default() };
    let amend = |name| DeviceCommand::Amend { patch: patch(name), versions: BTreeMap::new() };
    given(registered()).when(amend("Acme")).then(&["device.amended"]);
    given([registered(), vec![amend("Acme")]].concat()).when(amend("Acme")).then(&[]);
    let cleared = DeviceCommand::Amend { patch: ProfilePatch::default(), versions: versions("") };
    let device = state_of(&[registered(), vec![cleared]].concat());
    assert!(device.versions.is_empty(), "an empty version removes");
}

#[test]
fn the_identity_stays_while_an_update_is_under_way() {
    use crate::change::Change;
    use crate::values::Transport;
    let amend = |lorawan_dev_eui| DeviceCommand::Amend {
        patch: ProfilePatch { lorawan_dev_eui, ..ProfilePatch::default() },
        versions: BTreeMap::new(),
    };
    let to_lorawan = amend(Change::Set("0102030405060708".into()));
    given(dispatched()).when(to_lorawan.clone()).refused("update_in_progress");
    given(dispatched()).when(amend(Change::Clear)).then(&[]);
    let device = state_of(&[registered(), vec![to_lorawan.clone()]].concat());
    assert_eq!(device.profile.transport, Transport::Lorawan);
    let ended = [dispatched(), vec![DeviceCommand::Decommission, register()]].concat();
    given(ended.clone()).when(to_lorawan.clone()).then(&["device.amended"]);
    let device = state_of(&[ended, vec![to_lorawan, update_to("2.0.0")]].concat());
    assert_eq!(device.update(2).unwrap().spec.transport, Transport::Lorawan);
    let with_eui = Profile { lorawan_dev_eui: Some("0102030405060708".into()), ..profile() };
    let registered = DeviceCommand::Register { profile: with_eui, versions: versions("1.0.0") };
    assert_eq!(state_of(&[registered]).profile.transport, Transport::Lorawan);
}

#[test]
fn firmware_for_a_component_that_the_device_does_not_list_is_refused() {
    let listing = |components: &[&str]| {
        let versions = components.iter().map(|name| ((*name).to_owned(), "1.0.0".to_owned())).collect();
        DeviceCommand::Register { profile: profile(), versions }
    };
    let radio = || {
        let mut request = wanted("2.0.0");
        request.firmware.component = "radio".into();
        ask(request)
    };
    given(vec![listing(&["firmware", "sensor"])]).when(radio()).refused("not_eligible");
    given(vec![listing(&["firmware", "radio"])])
        .when(radio())
        .then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 offline"]);
    given(vec![listing(&["firmware"])]).when(radio()).then(&["update.queued 1/0 2.0.0", "update.waiting 1/0 offline"]);
}

#[test]
fn patches_leave_no_more_tags_and_versions_than_a_registration_may_bring() {
    use crate::change::Change;
    use crate::values::TAGS_MAX;
    let tags = |range: std::ops::Range<usize>| {
        let tags = range.map(|number| (format!("t{number}"), Change::Set("x".to_owned()))).collect();
        let patch = ProfilePatch { tags: Change::Set(tags), ..ProfilePatch::default() };
        DeviceCommand::Amend { patch, versions: BTreeMap::new() }
    };
    let full = [registered(), vec![tags(0..TAGS_MAX)]].concat();
    given(full.clone()).when(tags(0..TAGS_MAX)).then(&[]);
    given(full.clone()).when(tags(TAGS_MAX..TAGS_MAX + 1)).refused("invalid");
    let versions = (0..=TAGS_MAX).map(|number| (format!("c{number}"), "1".to_owned())).collect();
    given(full).when(DeviceCommand::Amend { patch: ProfilePatch::default(), versions }).refused("invalid");
}

#[test]
fn a_decommissioned_device_takes_nothing_but_registration() {
    let gone = [dispatched(), vec![DeviceCommand::Decommission]].concat();
    given(dispatched())
        .when(DeviceCommand::Decommission)
        .then(&["update.cancelled 1/1 decommissioned", "device.decommissioned"]);
    given(gone.clone()).when(DeviceCommand::Decommission).then(&[]);
    given(gone.clone()).when(says(ReportStatus::Received)).refused("device_decommissioned");
    given(gone.clone()).when(update_to("2.0.0")).refused("device_decommissioned");
    given(gone.clone()).when(register()).then(&["device.recommissioned"]);
    assert_eq!(state_of(&gone).desired(), Desired::Nothing);
}

#[test]
fn a_recommissioned_device_counts_as_never_seen() {
    let again = vec![DeviceCommand::Decommission, register()];
    let device = state_of(&[online(), again.clone()].concat());
    assert_eq!((device.reachability, device.session), (Reachability::NeverSeen, None));
    given([online(), again].concat()).when(DeviceCommand::SeenOnline).then(&["device.came_online"]);
}

#[test]
fn firmware_confirmed_before_decommissioning_does_not_regress() {
    let confirmed = [working(ReportStatus::Installing), vec![status("b2", "2.0.0")]].concat();
    let again = DeviceCommand::Register { profile: profile(), versions: versions("2.0.0") };
    given([confirmed, vec![DeviceCommand::Decommission, again]].concat())
        .when(status("b9", "1.0.0"))
        .then(&["device.came_online", "device.versions_reported 1.0.0"]);
}

#[test]
fn presence_changes_give_events_and_repeats_do_not() {
    given(registered()).when(DeviceCommand::SeenOnline).then(&["device.came_online"]);
    given(online()).when(DeviceCommand::SeenOnline).then(&[]);
    given(online()).when(status("b1", "1.0.0")).then(&[]);
    given(online()).when(lost()).then(&["device.went_offline will"]);
    given(registered()).when(lost()).then(&[]);
}

#[test]
fn info_sets_versions_of_unknown_components_only() {
    let info = |component: &str| {
        let versions = BTreeMap::from([(component.into(), "9.9.9".into())]);
        DeviceCommand::from(Info { versions, ..Info::default() })
    };
    given(online()).when(info("bootloader")).then(&["device.versions_reported 9.9.9"]);
    given(online()).when(info(FIRMWARE_COMPONENT)).then(&[]);
    let attributes = Info { slots: Some(2), ..Info::default() };
    given(online()).when(attributes.into()).then(&["device.info_reported"]);
}

//! What is different for devices that are reached over LoRaWAN.

use super::*;
use crate::change::Change;
use crate::fuota::{DeploymentPlan, MulticastClass, PlannedDevice, awaits_image};
use crate::lorawan::{self, Parameters, Region};

fn lorawan() -> Vec<DeviceCommand> {
    let profile = Profile { lorawan_dev_eui: Some("0102030405060708".to_owned()), ..profile() }.reached_by_identity();
    vec![DeviceCommand::Register { profile, versions: versions("1.0.0") }, status("b1", "1.0.0")]
}

fn limits_of(device: &[DeviceCommand]) -> Limits {
    state_of(&[device.to_vec(), vec![update_to("2.0.0")]].concat()).update(1).unwrap().spec.limits
}

#[test]
fn updates_over_lorawan_have_the_time_that_their_radio_needs() {
    let mqtt = limits_of(&online());
    assert_eq!(mqtt, Limits::default());
    let over_lorawan = limits_of(&lorawan());
    assert_eq!(over_lorawan.downloading_s, LORAWAN_DOWNLOADING_MIN_S);
    assert_eq!((over_lorawan.dispatch_s, over_lorawan.phase_s), (LORAWAN_DISPATCH_MIN_S, LORAWAN_PHASE_MIN_S));
    assert_eq!((over_lorawan.total_s, over_lorawan.wait_s), (LORAWAN_TOTAL_MIN_S, mqtt.wait_s));
    assert!(u64::from(LORAWAN_DOWNLOADING_MIN_S) > u64::from(lorawan::SESSION_MAX_S) * 2);
}

#[test]
fn an_image_that_no_region_can_carry_is_refused_over_lorawan_only() {
    let mut large = wanted("2.0.0");
    large.firmware.size = lorawan::image_max_bytes(None) + 1;
    given(online()).when(ask(large.clone())).then(&["update.queued 1/0 2.0.0", "update.dispatched 1/1"]);
    given(lorawan()).when(ask(large.clone())).refused("not_eligible");
    large.firmware.size -= 1;
    given(lorawan()).when(ask(large)).then(&["update.queued 1/0 2.0.0", "update.dispatched 1/1"]);
}

#[test]
fn a_device_waits_for_its_image_as_it_was_planned_and_no_longer() {
    const APPLICATION: &str = "fe0631ba-f18b-42ef-99f5-c9a37521a4b8";
    let planned = PlannedDevice {
        device: DeviceId::new("d-1").unwrap(),
        dev_eui: "0102030405060708".to_owned(),
        ordinal: 1,
        attempt: 1,
        campaign: None,
    };
    let plan = DeploymentPlan {
        firmware_id: FirmwareId(uuid::Uuid::nil()),
        size: 1_000,
        sha256: Sha256Digest([7; 32]),
        application_id: APPLICATION.to_owned(),
        device_profile_id: "profile".to_owned(),
        region: Region::Eu868,
        class: MulticastClass::C,
        parameters: Parameters::plan(1_000, Region::Eu868, 60).unwrap(),
        devices: vec![planned.clone()],
    };
    let in_application = |id: &str| {
        let patch = ProfilePatch { chirpstack_app_id: Change::Set(id.to_owned()), ..ProfilePatch::default() };
        DeviceCommand::Amend { patch, versions: Default::default() }
    };
    let device = |more: Vec<DeviceCommand>| {
        state_of(&[lorawan(), vec![in_application(APPLICATION), update_to("2.0.0")], more].concat())
    };
    let waits = |more: Vec<DeviceCommand>| awaits_image(&plan, &planned, &device(more));
    let accepted = || report(1, 1, ReportStatus::Received);
    assert!(!waits(vec![]), "it has not answered");
    assert!(waits(vec![accepted()]));
    assert!(!waits(vec![accepted(), cancel(1)]));
    assert!(!waits(vec![accepted(), DeviceCommand::Decommission]));
    assert!(!waits(vec![accepted(), report(1, 1, ReportStatus::Installing)]), "it has the image by other means");
    assert!(!waits(vec![accepted(), in_application("another")]));
    for other in [
        PlannedDevice { attempt: 2, ..planned.clone() },
        PlannedDevice { ordinal: 2, ..planned.clone() },
        PlannedDevice { dev_eui: "ffffffffffffffff".to_owned(), ..planned.clone() },
    ] {
        assert!(!awaits_image(&plan, &other, &device(vec![accepted()])), "{other:?}");
    }
}

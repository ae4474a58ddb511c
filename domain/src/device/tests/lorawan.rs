//! What is different for devices that are reached over LoRaWAN.

use super::*;
use crate::lorawan;

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

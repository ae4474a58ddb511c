//! The parts that events share.

use std::collections::BTreeMap;

use chirpstack::grpc::device::DeviceClass;
use prost_types::Timestamp;
use runtime::clock;

use crate::events::messages::{
    CodeRate, CrcStatus, DeviceInfo, Location, LocationSource, LoraModulation, Modulation, UplinkRxInfo, UplinkTxInfo,
};
use crate::ids::GATEWAY_ID;
use crate::radio::Uplink;
use crate::store::{DeviceEntry, Store};

/// Seconds between the beginnings of GPS time and of Unix time, less the leap seconds.
const GPS_EPOCH_S: i64 = 315_964_800 - 18;
pub(super) const UPLINK_FREQUENCY: u32 = 868_100_000;
/// Gateways that hear one uplink at most.
const GATEWAYS_MAX: u32 = 16;

/// Who an event is about. `with_application_tags` is false for transmissions, as on the real server.
pub(super) fn device_info(store: &Store, entry: &DeviceEntry, with_application_tags: bool) -> DeviceInfo {
    let device = &entry.stored.object;
    let application = store.applications.get(&device.application_id).map(|stored| &stored.object);
    let profile = store.profiles.get(&device.device_profile_id).map(|stored| &stored.object);
    let mut tags = BTreeMap::new();
    if with_application_tags && let Some(application) = application {
        tags.extend(application.tags.clone());
    }
    tags.extend(profile.map(|profile| profile.tags.clone()).unwrap_or_default());
    tags.extend(device.tags.clone());
    DeviceInfo {
        tenant_id: application.map(|application| application.tenant_id.clone()).unwrap_or_default(),
        tenant_name: "tenant".to_owned(),
        application_id: device.application_id.clone(),
        application_name: application.map(|application| application.name.clone()).unwrap_or_default(),
        device_profile_id: device.device_profile_id.clone(),
        device_profile_name: profile.map(|profile| profile.name.clone()).unwrap_or_default(),
        device_name: device.name.clone(),
        dev_eui: device.dev_eui.clone(),
        tags,
        device_class_enabled: entry.class.into(),
    }
}

/// Whether the device's profile lets it listen all the time.
pub(super) fn class_of(store: &Store, entry: &DeviceEntry) -> DeviceClass {
    match store.profiles.get(&entry.stored.object.device_profile_id) {
        Some(profile) if profile.object.supports_class_c => DeviceClass::ClassC,
        _ => DeviceClass::ClassA,
    }
}

pub(super) fn new_id() -> String {
    clock::new_id().to_string()
}

/// The spreading factor of a data rate in EU868.
pub(super) fn spreading_factor(dr: u32) -> u32 {
    12 - dr.min(5)
}

pub(super) fn modulation(dr: u32, polarization_inversion: bool) -> Modulation {
    let lora = LoraModulation {
        bandwidth: 125_000,
        spreading_factor: spreading_factor(dr),
        polarization_inversion,
        code_rate: CodeRate::Cr45.into(),
    };
    Modulation { lora: Some(lora) }
}

pub(super) fn tx_info(dr: u32) -> UplinkTxInfo {
    UplinkTxInfo { frequency: UPLINK_FREQUENCY, modulation: Some(modulation(dr, false)) }
}

/// One reception per gateway; the first is the best.
pub(super) fn rx_info(uplink: &Uplink, time: Timestamp) -> Vec<UplinkRxInfo> {
    let worse = |gateway: u32| i32::try_from(gateway).unwrap_or(0) * 10;
    (0..uplink.gateways.clamp(1, GATEWAYS_MAX))
        .map(|gateway| UplinkRxInfo {
            gateway_id: if gateway == 0 { GATEWAY_ID.to_owned() } else { format!("0016c001f1{gateway:06x}") },
            uplink_id: rand::random(),
            gw_time: Some(time),
            ns_time: Some(time),
            time_since_gps_epoch: Some(prost_types::Duration {
                seconds: time.seconds - GPS_EPOCH_S,
                nanos: time.nanos / 1_000_000 * 1_000_000,
            }),
            rssi: uplink.rssi - worse(gateway),
            snr: uplink.snr,
            channel: 2,
            rf_chain: 1,
            location: Some(Location {
                latitude: 52.3740364,
                longitude: 4.9144401,
                altitude: 10.5,
                source: LocationSource::Gps.into(),
                accuracy: 0.0,
            }),
            context: rand::random::<[u8; 4]>().to_vec(),
            metadata: BTreeMap::from([("region_common_name".to_owned(), "EU868".to_owned())]),
            crc_status: CrcStatus::CrcOk.into(),
        })
        .collect()
}

//! What devices send: uplinks, joins, their status; and log events.

use std::collections::BTreeMap;

use chirpstack::grpc::device::{DeviceClass, DeviceStatus};

use super::{DownlinkFate, Outgoing, Uplink, describe, resolve_pending, send_if_class_c, send_next};
use crate::events::messages::{
    JoinEvent, Location, LocationEvent, LocationSource, LogCode, LogEvent, LogLevel, StatusEvent, UplinkEvent,
};
use crate::events::to_struct;
use crate::store::Store;
use crate::times::now;

/// The name of the only region's configuration.
const REGION_CONFIG_ID: &str = "eu868";

/// An uplink arrives: its event, the end of a downlink that waited for a confirmation, and the next downlink.
///
/// A disabled device is not heard. Answers whether the device exists.
pub(crate) fn uplink(store: &mut Store, outgoing: &mut Outgoing, uplink: &Uplink, fate: DownlinkFate) -> bool {
    let time = now();
    let Some(entry) = store.devices.get_mut(&uplink.dev_eui) else { return false };
    if entry.stored.object.is_disabled {
        return true;
    }
    let f_cnt = uplink.f_cnt.unwrap_or(entry.session.f_cnt_up);
    entry.session.f_cnt_up = f_cnt.saturating_add(1);
    entry.last_seen_at = Some(time);
    let Some(entry) = store.devices.get(&uplink.dev_eui) else { return false };
    let deduplication_id = describe::new_id();
    let has_port = uplink.f_port != 0;
    outgoing.event(UplinkEvent {
        deduplication_id: deduplication_id.clone(),
        time: Some(time),
        device_info: Some(describe::device_info(store, entry, true)),
        dev_addr: entry.session.dev_addr.clone(),
        adr: true,
        dr: uplink.dr,
        f_cnt,
        f_port: uplink.f_port,
        confirmed: uplink.confirmed,
        data: if has_port { hex::decode(&uplink.data).unwrap_or_default() } else { Vec::new() },
        object: uplink.object.as_ref().map(to_struct),
        rx_info: describe::rx_info(uplink, time),
        tx_info: Some(describe::tx_info(uplink.dr)),
        region_config_id: REGION_CONFIG_ID.to_owned(),
    });
    resolve_pending(store, outgoing, &uplink.dev_eui, &deduplication_id, uplink.acknowledges);
    send_next(store, outgoing, &uplink.dev_eui, uplink.dr, fate);
    true
}

/// The device joins: a new session, then its class is that of its profile. Its join EUI is kept.
pub(crate) fn join(store: &mut Store, outgoing: &mut Outgoing, dev_eui: &str) -> bool {
    let Some(entry) = store.devices.get(dev_eui) else { return false };
    let class = describe::class_of(store, entry);
    let flushes = store
        .profiles
        .get(&entry.stored.object.device_profile_id)
        .is_some_and(|profile| profile.object.flush_queue_on_activate);
    let Some(entry) = store.devices.get_mut(dev_eui) else { return false };
    entry.session.dev_addr = format!("01{}", hex::encode(rand::random::<[u8; 3]>()));
    (entry.session.f_cnt_up, entry.session.f_cnt_down) = (0, 0);
    // The event shows the class as it is before the device confirms it.
    entry.class = DeviceClass::ClassA;
    if flushes {
        entry.queue.clear();
    }
    let Some(entry) = store.devices.get(dev_eui) else { return false };
    outgoing.event(JoinEvent {
        deduplication_id: describe::new_id(),
        time: Some(now()),
        device_info: Some(describe::device_info(store, entry, true)),
        dev_addr: entry.session.dev_addr.clone(),
        region_config_id: REGION_CONFIG_ID.to_owned(),
    });
    if let Some(entry) = store.devices.get_mut(dev_eui) {
        entry.class = class;
    }
    send_if_class_c(store, outgoing, dev_eui);
    true
}

/// The device answers a status request. A battery of `None` is not available.
pub(crate) fn status(
    store: &mut Store,
    outgoing: &mut Outgoing,
    dev_eui: &str,
    margin: i32,
    battery: Option<f32>,
) -> bool {
    let Some(entry) = store.devices.get_mut(dev_eui) else { return false };
    entry.status = Some(DeviceStatus { margin, external_power_source: false, battery_level: battery.unwrap_or(-1.0) });
    let Some(entry) = store.devices.get(dev_eui) else { return false };
    outgoing.event(StatusEvent {
        deduplication_id: describe::new_id(),
        time: Some(now()),
        device_info: Some(describe::device_info(store, entry, true)),
        margin,
        external_power_source: false,
        battery_level_unavailable: battery.is_none(),
        battery_level: battery.unwrap_or_default(),
    });
    true
}

/// A location, as servers before 4.15 resolved it.
pub(crate) fn location(store: &Store, outgoing: &mut Outgoing, dev_eui: &str, latitude: f64, longitude: f64) -> bool {
    let Some(entry) = store.devices.get(dev_eui) else { return false };
    outgoing.event(LocationEvent {
        deduplication_id: String::new(),
        time: Some(now()),
        device_info: Some(describe::device_info(store, entry, true)),
        location: Some(Location {
            latitude,
            longitude,
            altitude: 0.0,
            source: LocationSource::GeoResolverGnss.into(),
            accuracy: 0.0,
        }),
    });
    true
}

/// A log event of the device.
pub(crate) fn log(
    store: &Store,
    outgoing: &mut Outgoing,
    dev_eui: &str,
    level: LogLevel,
    code: LogCode,
    description: &str,
    context: BTreeMap<String, String>,
) -> bool {
    let Some(entry) = store.devices.get(dev_eui) else { return false };
    outgoing.event(LogEvent {
        time: Some(now()),
        device_info: Some(describe::device_info(store, entry, true)),
        level: level.into(),
        code: code.into(),
        description: description.to_owned(),
        context,
    });
    true
}

/// An answer of the packages for multicast and fragments: devices send them on ports of their own, and they arrive as uplinks.
pub(crate) fn deployment_answer(store: &mut Store, outgoing: &mut Outgoing, dev_eui: &str, f_port: u32, data: &[u8]) {
    uplink(store, outgoing, &Uplink::new(dev_eui, f_port, data), DownlinkFate::Sent);
}

//! Which events are late, and which are copies of handled ones.
//!
//! Network servers send events in no order, and an event that could not be stored is delivered again after newer ones. What a device says about
//! itself may then be outdated. A boot or a version is late if a newer one of the device was handled: one that was stored after it, when
//! it is a repeated delivery, or one with a higher frame counter of the same session and a later time. A frame counter alone doesn't decide,
//! because a device may begin again, and neither does a time, because gateways have wrong clocks.
//!
//! Each process knows only what it handled since its start. What has changed the device is in the device's state with its place
//! ([`domain::device::Mark`]), and holds for all processes. Reports on updates don't need an order: they are judged by the state of the update.

use std::time::Duration;

use chirpstack::events::Uplink;
use chrono::{DateTime, Utc};
use domain::device::Frame;
use domain::{DeviceId, TenantId};
use moka::sync::Cache;

/// Devices of which the newest uplink with a boot or a version is known.
const DEVICES_MAX: u64 = 200_000;
/// How long an uplink is remembered as the newest.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);
/// Most handled events whose copies are recognised, and for how long. A broker may keep copies while Waybill isn't connected.
const COPIES_MAX: u64 = 200_000;
const COPIES_FOR: Duration = Duration::from_secs(3_600);

/// The place of an uplink among those of its device.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Its number in the queue, and how often it was delivered.
    pub(super) number: u64,
    pub(super) times: u32,
    dev_addr: Option<String>,
    f_cnt: Option<u32>,
    time: Option<DateTime<Utc>>,
}

/// The newest uplinks and the latest events.
pub(super) struct Order {
    newest: Cache<(TenantId, DeviceId), Place>,
    handled: Cache<(TenantId, String), ()>,
}

impl Place {
    pub(super) fn new(number: u64, times: u32, uplink: &Uplink, time: Option<DateTime<Utc>>) -> Self {
        Self { number, times, dev_addr: uplink.dev_addr.clone(), f_cnt: uplink.f_cnt, time }
    }

    /// None if a part of it is not known.
    pub(super) fn frame(&self) -> Option<Frame> {
        let dev_addr = u32::from_str_radix(self.dev_addr.as_deref()?, 16).ok()?;
        Some(Frame { dev_addr, f_cnt: self.f_cnt?, at: self.time? })
    }

    fn is_before(&self, newest: &Self) -> bool {
        let is_repeated = self.times > 1 && self.number < newest.number;
        let is_same_session = self.dev_addr.is_some() && self.dev_addr == newest.dev_addr;
        let has_lower_frame = matches!((self.f_cnt, newest.f_cnt), (Some(own), Some(newest)) if own < newest);
        let is_earlier = matches!((self.time, newest.time), (Some(own), Some(newest)) if own < newest);
        is_repeated || (is_same_session && has_lower_frame && is_earlier)
    }
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            newest: Cache::builder().max_capacity(DEVICES_MAX).time_to_idle(REMEMBERED_FOR).build(),
            handled: Cache::builder().max_capacity(COPIES_MAX).time_to_live(COPIES_FOR).build(),
        }
    }

    /// Whether a newer boot or version of the device was handled.
    pub(super) fn is_late(&self, tenant: &TenantId, device: &DeviceId, place: &Place) -> bool {
        self.newest.get(&(tenant.clone(), device.clone())).is_some_and(|newest| place.is_before(&newest))
    }

    /// Records a handled boot or version. Uplinks of one device are handled one after another.
    pub(super) fn record(&self, tenant: &TenantId, device: &DeviceId, place: &Place) {
        let key = (tenant.clone(), device.clone());
        if self.newest.get(&key).is_none_or(|newest| !place.is_before(&newest)) {
            self.newest.insert(key, place.clone());
        }
    }

    /// Whether an event with this key was handled.
    pub(super) fn is_copy(&self, tenant: &TenantId, key: &str) -> bool {
        self.handled.contains_key(&(tenant.clone(), key.to_owned()))
    }

    pub(super) fn record_key(&self, tenant: &TenantId, key: &str) {
        self.handled.insert((tenant.clone(), key.to_owned()), ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64, times: u32, f_cnt: u32, second: i64) -> Place {
        let (dev_addr, time) = (Some("00112233".to_owned()), DateTime::from_timestamp(second, 0));
        Place { number, times, dev_addr, f_cnt: Some(f_cnt), time }
    }

    #[test]
    fn frame_counter_and_time_must_agree() {
        let newest = place(10, 1, 7, 100);
        assert!(place(11, 1, 6, 99).is_before(&newest), "it was overtaken");
        assert!(!place(11, 1, 0, 101).is_before(&newest), "the device has begun again");
        assert!(!place(11, 1, 8, 99).is_before(&newest), "the clock of a gateway is wrong");
        assert!(!Place { dev_addr: Some("0".to_owned()), ..place(11, 1, 6, 99) }.is_before(&newest), "a new session");
        assert!(!Place { f_cnt: None, ..place(11, 1, 6, 99) }.is_before(&newest));
        let frame = newest.frame().unwrap();
        assert_eq!((frame.dev_addr, frame.f_cnt), (0x0011_2233, 7));
        assert_eq!(Place { f_cnt: None, ..newest }.frame(), None);
    }

    #[test]
    fn a_repeated_delivery_is_late_after_a_newer_event() {
        let order = Order::new();
        let (tenant, device) = (TenantId::new("acme").unwrap(), DeviceId::new("d-1").unwrap());
        assert!(!order.is_late(&tenant, &device, &place(5, 2, 1, 1)));
        order.record(&tenant, &device, &place(6, 1, 2, 2));
        assert!(order.is_late(&tenant, &device, &place(5, 2, 1, 2)));
        assert!(!order.is_late(&tenant, &device, &place(6, 2, 2, 2)), "the same again");
        order.record(&tenant, &device, &place(5, 2, 1, 1));
        assert!(!order.is_late(&tenant, &device, &place(7, 1, 3, 3)));
        assert!(order.is_late(&tenant, &device, &place(5, 3, 1, 1)), "an older one doesn't become the newest");
    }
}

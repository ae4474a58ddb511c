//! Downlinks: one item of the queue leaves per uplink of class A, at once for class C.

use std::collections::BTreeMap;

use chirpstack::grpc::device::DeviceClass;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use serde::{Deserialize, Serialize};

use super::{Outgoing, describe, log};
use crate::events::messages::{
    AckEvent, Delay, DownlinkTxInfo, Immediately, LogCode, LogLevel, Timing, TimingParameters, TxAckEvent,
};
use crate::ids::GATEWAY_ID;
use crate::store::Store;
use crate::times::{self, now};

/// The second receive window of EU868, where class C listens.
const CLASS_C_FREQUENCY: u32 = 869_525_000;
const CLASS_C_POWER: i32 = 29;
const CLASS_A_POWER: i32 = 16;
/// The slowest data rate, which class C listens to.
const CLASS_C_DR: u32 = 0;
/// Bytes that a downlink may have by data rate, EU868.
const PAYLOAD_BYTES_MAX: [usize; 6] = [51, 51, 51, 115, 242, 242];

/// What was sent to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downlink {
    pub dev_eui: String,
    pub queue_item_id: String,
    pub f_port: u32,
    pub data: Vec<u8>,
    pub confirmed: bool,
    pub f_cnt_down: u32,
}

/// What becomes of a downlink that a test sends by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownlinkFate {
    /// A gateway sent it.
    Sent,
    /// The gateway refused it: a log event, and it stays in the queue.
    GatewayRefuses,
}

/// What is sent now.
struct Opportunity {
    class: DeviceClass,
    dr: u32,
}

/// A class C device gets what waits for it at once.
pub(crate) fn send_if_class_c(store: &mut Store, outgoing: &mut Outgoing, dev_eui: &str) {
    if store.devices.get(dev_eui).is_some_and(|entry| entry.class == DeviceClass::ClassC) {
        send(store, outgoing, dev_eui, &Opportunity { class: DeviceClass::ClassC, dr: CLASS_C_DR }, DownlinkFate::Sent);
    }
}

/// The next item leaves in the receive window after an uplink.
pub(crate) fn send_next(store: &mut Store, outgoing: &mut Outgoing, dev_eui: &str, dr: u32, fate: DownlinkFate) {
    send(store, outgoing, dev_eui, &Opportunity { class: DeviceClass::ClassA, dr }, fate);
}

fn send(store: &mut Store, outgoing: &mut Outgoing, dev_eui: &str, opportunity: &Opportunity, fate: DownlinkFate) {
    let Some(entry) = store.devices.get(dev_eui) else { return };
    // A confirmed item that waits for its confirmation keeps the others back.
    if entry.queue.iter().any(|item| item.is_pending) {
        return;
    }
    let Some(item) = next_sendable(store, outgoing, dev_eui, opportunity) else { return };
    if fate == DownlinkFate::GatewayRefuses {
        log(store, outgoing, dev_eui, LogLevel::Error, LogCode::DownlinkGateway, "TOO_LATE", BTreeMap::new());
        return;
    }
    let Some(entry) = store.devices.get_mut(dev_eui) else { return };
    let f_cnt_down = entry.session.f_cnt_down;
    entry.session.f_cnt_down += 1;
    if item.confirmed {
        if let Some(front) = entry.queue.front_mut() {
            front.is_pending = true;
            front.f_cnt_down = f_cnt_down;
        }
    } else {
        entry.queue.pop_front();
    }
    let event = transmission(store, dev_eui, &item, f_cnt_down, opportunity);
    outgoing.events.extend(event.map(Into::into));
    outgoing.downlinks.push(Downlink {
        dev_eui: dev_eui.to_owned(),
        queue_item_id: item.id,
        f_port: item.f_port,
        data: item.data,
        confirmed: item.confirmed,
        f_cnt_down,
    });
}

/// The first item that may be sent. Those that expired or are too long are dropped with a log event.
fn next_sendable(
    store: &mut Store,
    outgoing: &mut Outgoing,
    dev_eui: &str,
    at: &Opportunity,
) -> Option<DeviceQueueItem> {
    let size_max =
        usize::try_from(at.dr).ok().and_then(|dr| PAYLOAD_BYTES_MAX.get(dr)).copied().unwrap_or(PAYLOAD_BYTES_MAX[0]);
    loop {
        let item = store.devices.get(dev_eui)?.queue.front()?.clone();
        let id = ("queue_item_id".to_owned(), item.id.clone());
        let (code, why, context) =
            if item.expires_at.as_ref().is_some_and(|at| times::time(at) <= runtime::clock::now()) {
                (LogCode::Expired, "Device queue-item discarded because it has expired", BTreeMap::from([id]))
            } else if item.data.len() > size_max {
                let sizes = [("item_size", item.data.len()), ("max_payload_size", size_max)];
                let sizes = sizes.map(|(name, size)| (name.to_owned(), size.to_string()));
                let why = "Device queue-item discarded because it exceeds the max. payload size";
                (LogCode::DownlinkPayloadSize, why, sizes.into_iter().chain([id]).collect())
            } else {
                return Some(item);
            };
        store.devices.get_mut(dev_eui)?.queue.pop_front();
        log(store, outgoing, dev_eui, LogLevel::Error, code, why, context);
    }
}

fn transmission(
    store: &Store,
    dev_eui: &str,
    item: &DeviceQueueItem,
    f_cnt_down: u32,
    at: &Opportunity,
) -> Option<TxAckEvent> {
    let entry = store.devices.get(dev_eui)?;
    let (frequency, power, timing) = match at.class {
        DeviceClass::ClassC => (CLASS_C_FREQUENCY, CLASS_C_POWER, TimingParameters::Immediately(Immediately {})),
        DeviceClass::ClassA | DeviceClass::ClassB => {
            let delay = Delay { delay: Some(prost_types::Duration { seconds: 1, nanos: 0 }) };
            (describe::UPLINK_FREQUENCY, CLASS_A_POWER, TimingParameters::Delay(delay))
        }
    };
    Some(TxAckEvent {
        downlink_id: rand::random(),
        time: Some(now()),
        device_info: Some(describe::device_info(store, entry, false)),
        queue_item_id: item.id.clone(),
        f_cnt_down,
        gateway_id: GATEWAY_ID.to_owned(),
        tx_info: Some(DownlinkTxInfo {
            frequency,
            power,
            modulation: Some(describe::modulation(at.dr, true)),
            timing: Some(Timing { parameters: Some(timing) }),
            context: rand::random::<[u8; 4]>().to_vec(),
        }),
    })
}

/// The item that waits for its confirmation is acknowledged, or dropped without. `deduplication_id` is that of the uplink, empty when a
/// class C device let the time pass.
pub(crate) fn resolve_pending(
    store: &mut Store,
    outgoing: &mut Outgoing,
    dev_eui: &str,
    deduplication_id: &str,
    acknowledged: bool,
) {
    let Some(entry) = store.devices.get_mut(dev_eui) else { return };
    let Some(index) = entry.queue.iter().position(|item| item.is_pending) else { return };
    let Some(item) = entry.queue.remove(index) else { return };
    let Some(entry) = store.devices.get(dev_eui) else { return };
    outgoing.event(AckEvent {
        deduplication_id: deduplication_id.to_owned(),
        time: Some(now()),
        device_info: Some(describe::device_info(store, entry, true)),
        queue_item_id: item.id,
        acknowledged,
        f_cnt_down: item.f_cnt_down,
    });
}

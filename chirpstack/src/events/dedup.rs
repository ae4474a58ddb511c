//! What tells two copies of one event from two events.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{DevEui, Event, Payload, Uplink};

/// Digits of a key's hash.
const DIGITS: usize = 32;

/// Names an event: the copies by HTTP and MQTT have the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct DedupKey {
    text: String,
    /// Whether no other event ever has this key. A key of version 3 is one of a frame counter, which begins again.
    pub is_unique: bool,
}

impl DedupKey {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn of(kind: &str, is_unique: bool, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digits = hex::encode(hash.finalize());
        Self { text: format!("{kind}-{}", &digits[..DIGITS]), is_unique }
    }
}

impl fmt::Display for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Ids in an event that are not kept elsewhere.
#[derive(Debug, Default)]
pub(super) struct Ids {
    pub(super) deduplication_id: Option<String>,
    pub(super) downlink_id: Option<u32>,
    /// The time as it came, in any form.
    pub(super) time: Option<String>,
}

/// The key of an event. One event of the network gives several of different kinds with one id, so the kind is part of the key.
pub(super) fn key(eui: &DevEui, event: &Event, ids: &Ids) -> Option<DedupKey> {
    let eui = eui.as_str().as_bytes();
    let by_id = |kind: &str| {
        let id = ids.deduplication_id.as_deref()?;
        Some(DedupKey::of(kind, true, &[eui, id.as_bytes()]))
    };
    match event {
        Event::Uplink(uplink) => by_id("up").or_else(|| by_frame(eui, uplink)),
        Event::Join(join) => by_id("join").or_else(|| {
            let address = join.dev_addr.as_deref()?;
            Some(DedupKey::of("join", false, &[eui, address.as_bytes()]))
        }),
        // A downlink of class C that ran out of time has no id of an uplink.
        Event::Ack(ack) => {
            let frame = ack.f_cnt_down.map(u32::to_be_bytes);
            let (item, frame) = (ack.queue_item_id.as_deref().unwrap_or_default(), frame.as_ref());
            let (is_unique, has_any) = (!item.is_empty(), !item.is_empty() || frame.is_some());
            let frame = frame.map_or(&[][..], <[u8; 4]>::as_slice);
            let parts = [eui, item.as_bytes(), frame, &[u8::from(ack.acknowledged)]];
            has_any.then(|| DedupKey::of("ack", is_unique, &parts))
        }
        Event::TxAck(ack) => {
            let frame = ack.f_cnt_down?.to_be_bytes();
            let item = ack.queue_item_id.as_deref().unwrap_or_default();
            let downlink = ids.downlink_id.unwrap_or_default().to_be_bytes();
            let gateway = ack.gateway_id.as_deref().unwrap_or_default();
            let parts = [eui, item.as_bytes(), &frame, &downlink, gateway.as_bytes()];
            Some(DedupKey::of("txack", !item.is_empty(), &parts))
        }
        Event::Status(_) => by_id("status"),
        Event::Location(_) => by_id("location"),
        Event::Integration(integration) => {
            let id = ids.deduplication_id.as_deref()?;
            Some(DedupKey::of("integration", true, &[eui, id.as_bytes(), integration.event_type.as_bytes()]))
        }
        Event::Log(log) => {
            let time = ids.time.as_deref()?;
            let mut context = log.context.clone();
            context.sort();
            let context = format!("{context:?}");
            let parts = [eui, log.code.as_bytes(), time.as_bytes(), context.as_bytes(), log.description.as_bytes()];
            Some(DedupKey::of("log", true, &parts))
        }
        Event::Other { name } => by_id(&format!("other-{}", name.len())),
        Event::Presence(_) => None,
    }
}

/// Version 3 has no ids: an uplink is named by its frame counter and content.
fn by_frame(eui: &[u8], uplink: &Uplink) -> Option<DedupKey> {
    let frame = uplink.f_cnt?.to_be_bytes();
    let address = uplink.dev_addr.as_deref().unwrap_or("-");
    let content = match &uplink.payload {
        Payload::Decoded(object) | Payload::Json(object) => serde_json::to_string(object).unwrap_or_default(),
        Payload::Text(text) => text.clone(),
        Payload::Raw | Payload::Encrypted | Payload::None => String::new(),
    };
    let parts = [eui, address.as_bytes(), &frame, &[uplink.f_port.unwrap_or(0)], &uplink.data, content.as_bytes()];
    Some(DedupKey::of("up", false, &parts))
}

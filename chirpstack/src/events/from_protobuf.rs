//! Events in protobuf. The bytes don't say which message they are, so the request or the topic must.

mod v3;
mod v4;

use chrono::{DateTime, Utc};
use prost::Message;
use prost_types::Timestamp;

use super::fields;
use super::kind::Hints;
use super::radio::SOURCES;
use super::{DeviceStatus, Event, NetworkEvent, Position, Unreadable};

/// Tag of a first field that is a number: version 3's application.
const V3_FIRST: u8 = 0x08;

pub(super) fn read(body: &[u8], hints: &Hints<'_>) -> Result<NetworkEvent, Unreadable> {
    let Some(kind) = hints.kind() else {
        return Err(Unreadable::new("neither JSON, nor protobuf of a kind that ?event= or the topic names"));
    };
    // A transmission has a number first in version 4, too, and names the device as a message.
    let is_v3 = body.first() == Some(&V3_FIRST) && v4::tx_ack_device(body).is_none();
    if is_v3 { v3::read(body, kind) } else { v4::read(body, kind) }
}

fn decode<M: Message + Default>(body: &[u8]) -> Result<M, Unreadable> {
    M::decode(body).map_err(|_| Unreadable::new("neither JSON nor protobuf of this kind of event"))
}

fn time(time: Option<&Timestamp>) -> Option<DateTime<Utc>> {
    let time = time?;
    fields::usable(DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)?)
}

/// A text, unless it is protobuf's absent one.
fn text(text: String) -> Option<String> {
    Some(fields::cut(&text, super::NAME_MAX_CHARS)).filter(|text| !text.is_empty())
}

fn status(margin: i32, external_power: bool, is_level_unavailable: bool, level: f32) -> Event {
    let level = f64::from(level);
    let is_known = !external_power && !is_level_unavailable && (0.0..=100.0).contains(&level);
    Event::Status(DeviceStatus { margin: Some(margin), external_power, battery_level: is_known.then_some(level) })
}

fn location(place: Option<Position>) -> Result<Event, Unreadable> {
    place.map(Event::Location).ok_or_else(|| Unreadable::new("no location that is known"))
}

/// The name of a source of positions.
fn source(number: i32) -> Option<String> {
    SOURCES.get(usize::try_from(number).ok()?).map(|word| (*word).to_owned())
}

/// A port; protobuf's absent one is 0.
fn port(number: u32) -> Option<u8> {
    u8::try_from(number).ok().filter(|port| *port > 0)
}

/// When the best gateway has received an uplink.
fn gateway_time(event: &Event) -> Option<DateTime<Utc>> {
    let Event::Uplink(uplink) = event else { return None };
    uplink.best_gateway.as_ref()?.time
}

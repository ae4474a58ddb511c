//! Events of ChirpStack's integrations, in one form: of versions 3 and 4, in JSON and protobuf, by HTTP and MQTT.
//!
//! [`normalise`] is pure. It decides the dialect first, because a body of version 3 also parses as one of version 4, without its device.
//! Which kind of event a body is comes from the first of: `?event=`, the MQTT topic, the route, the fields that it has.
//!
//! Invariants: no input panics; every text, list and depth has a bound; a value that can't be used is noted in
//! [`NetworkEvent::ignored`], and the rest of the event counts.

mod dedup;
mod dialect;
mod eui;
mod fields;
mod from_json;
mod from_protobuf;
mod kind;
mod payload;
mod protobuf;
mod protobuf_v3;
mod radio;
#[cfg(test)]
mod tests;
mod topic;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

pub use dedup::DedupKey;
pub use dialect::Dialect;
pub use eui::DevEui;
pub use kind::{Hints, Kind, Route};
pub use radio::{Gateway, Position};
pub use topic::{InvalidTemplate, TopicTemplate};

/// Largest body, in bytes: that of an uplink which a hundred gateways have received has some 40 KiB.
pub const EVENT_MAX_BYTES: usize = 128 * 1024;
/// Deepest nesting of a JSON body.
pub const DEPTH_MAX: usize = 32;
/// Largest decoded object, as JSON, in bytes.
pub const OBJECT_MAX_BYTES: usize = 32 * 1024;
/// Longest id or name that is kept, in characters; the rest is cut off.
pub const NAME_MAX_CHARS: usize = 128;
/// Longest description of a log that is kept, in characters; the rest is cut off.
pub const DESCRIPTION_MAX_CHARS: usize = 512;
/// Most values of a log's context that are kept.
pub const CONTEXT_MAX: usize = 16;
/// Most gateways of an uplink that are counted.
pub const GATEWAYS_MAX: usize = 256;
/// Most notes about ignored values of one event.
pub const NOTES_MAX: usize = 8;

/// Why a body can't be used. The text quotes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What happened to a device, as the network server tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkEvent {
    pub dialect: Dialect,
    pub dev_eui: DevEui,
    /// As the network server names it: a UUID in version 4, a number in version 3.
    pub application_id: Option<String>,
    /// When the network says that it happened. A gateway's clock may be wrong by years.
    pub time: Option<DateTime<Utc>>,
    /// The same for each copy of one event; none if the body has nothing that tells two events apart.
    pub dedup_key: Option<DedupKey>,
    pub event: Event,
    /// Values that could not be used, for people.
    pub ignored: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    Uplink(Box<Uplink>),
    Join(Join),
    Ack(Ack),
    TxAck(TxAck),
    Status(DeviceStatus),
    /// A webhook that says only whether the device is there.
    Presence(Presence),
    /// `log` of version 4, `error` of version 3.
    Log(Log),
    Location(Position),
    Integration(Integration),
    /// A kind that isn't known.
    Other {
        name: String,
    },
}

/// A message of a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Uplink {
    pub dev_addr: Option<String>,
    pub f_cnt: Option<u32>,
    /// None for an uplink without one.
    pub f_port: Option<u8>,
    pub dr: Option<u32>,
    pub adr: bool,
    pub confirmed: bool,
    pub frequency_hz: Option<u32>,
    pub spreading_factor: Option<u32>,
    pub bandwidth_hz: Option<u32>,
    /// The payload as sent; encrypted if `payload` says so.
    #[serde(serialize_with = "as_hex")]
    pub data: Vec<u8>,
    pub payload: Payload,
    /// Per cent, from the decoded object.
    pub battery_level: Option<f64>,
    /// The highest RSSI of all gateways, in dBm.
    pub signal_strength: Option<i32>,
    /// The gateway with the best link.
    pub best_gateway: Option<Gateway>,
    /// How many gateways have received it.
    pub gateways: usize,
}

/// What a payload says, by the first of these that applies.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// ChirpStack's codec has decoded it.
    Decoded(Map<String, Value>),
    /// Its bytes are a JSON object.
    Json(Map<String, Value>),
    /// Bytes that only the device's codec understands.
    Raw,
    /// A text in place of a decoded object, without bytes.
    Text(String),
    /// ChirpStack doesn't have the session key: the bytes mean nothing here.
    Encrypted,
    None,
}

impl Payload {
    /// The fields, if there are any.
    pub fn fields(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Decoded(object) | Self::Json(object) => Some(object),
            Self::Raw | Self::Text(_) | Self::Encrypted | Self::None => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Join {
    pub dev_addr: Option<String>,
}

/// A confirmed downlink came to its end. `acknowledged: false` means that the network server has dropped it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ack {
    /// None in version 3.
    pub queue_item_id: Option<String>,
    /// Frame counter of the downlink.
    pub f_cnt_down: Option<u32>,
    pub acknowledged: bool,
}

/// A gateway has taken a downlink to send it. The device may not have received it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TxAck {
    pub queue_item_id: Option<String>,
    pub f_cnt_down: Option<u32>,
    pub gateway_id: Option<String>,
}

/// The answer of a device to the network server's own question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceStatus {
    /// Signal-to-noise ratio of that question at the device, in dB.
    pub margin: Option<i32>,
    pub external_power: bool,
    /// Per cent; none if the device doesn't know it or is powered externally.
    pub battery_level: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Presence {
    pub online: bool,
    pub battery_level: Option<f64>,
    pub signal_strength: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Info,
    Warning,
    Error,
}

/// What the network server has to say about a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Log {
    pub level: LogLevel,
    /// The word of version 4; an unknown one as it came.
    pub code: String,
    pub description: String,
    pub context: Vec<(String, String)>,
}

impl Log {
    /// The downlink that the network server has dropped with this log.
    pub fn dropped_item(&self) -> Option<&str> {
        let ends = matches!(self.code.as_str(), "DOWNLINK_PAYLOAD_SIZE" | "EXPIRED" | "F_CNT_DOWN");
        let item = self.context.iter().find(|(name, _)| name == "queue_item_id");
        item.filter(|_| ends).map(|(_, id)| id.as_str()).filter(|id| !id.is_empty())
    }
}

/// An event of another program that ChirpStack passes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Integration {
    pub name: String,
    pub event_type: String,
    pub object: Option<Map<String, Value>>,
}

fn as_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

/// The event in a body.
pub fn normalise(body: &[u8], hints: &Hints<'_>) -> Result<NetworkEvent, Unreadable> {
    if body.len() > EVENT_MAX_BYTES {
        return Err(Unreadable::new(format!("{} bytes, at most {EVENT_MAX_BYTES} are accepted", body.len())));
    }
    match dialect::form(body) {
        dialect::Form::Empty => Err(Unreadable::new("empty")),
        dialect::Form::Json(text) => from_json::read(text, hints),
        dialect::Form::Protobuf => from_protobuf::read(body, hints),
    }
}

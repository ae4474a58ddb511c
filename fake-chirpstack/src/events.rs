//! Events of the integrations, as ChirpStack 4.20 sends them: once as protobuf, once as JSON, from the same message.

mod json;
pub mod messages;
mod object;

use bytes::Bytes;
use prost::Message;

pub use object::{from_struct, to_struct};

use json::ToJson;
use messages::DeviceInfo;

/// What an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Up,
    Join,
    Ack,
    TxAck,
    Log,
    Status,
    Location,
}

impl EventKind {
    /// As it stands in topics and in `?event=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Join => "join",
            Self::Ack => "ack",
            Self::TxAck => "txack",
            Self::Log => "log",
            Self::Status => "status",
            Self::Location => "location",
        }
    }
}

/// An event, ready to be sent in either encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub application_id: String,
    pub dev_eui: String,
    pub json: Bytes,
    pub protobuf: Bytes,
}

impl Event {
    fn new(kind: EventKind, device: Option<&DeviceInfo>, message: &(impl Message + ToJson)) -> Self {
        let (application_id, dev_eui) =
            device.map(|device| (device.application_id.clone(), device.dev_eui.clone())).unwrap_or_default();
        Self { kind, application_id, dev_eui, json: message.to_json().into(), protobuf: message.encode_to_vec().into() }
    }

    /// The topic it is published to.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("application/{}/device/{}/event/{}", self.application_id, self.dev_eui, self.kind.name())
    }
}

macro_rules! into_event {
    ($($message:ty => $kind:expr),* $(,)?) => {
        $(impl From<$message> for Event {
            fn from(message: $message) -> Self {
                Self::new($kind, message.device_info.as_ref(), &message)
            }
        })*
    };
}

into_event! {
    messages::UplinkEvent => EventKind::Up,
    messages::JoinEvent => EventKind::Join,
    messages::AckEvent => EventKind::Ack,
    messages::TxAckEvent => EventKind::TxAck,
    messages::LogEvent => EventKind::Log,
    messages::StatusEvent => EventKind::Status,
    messages::LocationEvent => EventKind::Location,
}

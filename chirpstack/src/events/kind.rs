//! Which kind of event a body is.

use serde_json::{Map, Value};

use super::fields::has;

/// What is known of a body beside itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints<'a> {
    /// `?event=` of the request, or the event in the MQTT topic.
    pub event: Option<&'a str>,
    /// The route that it came by.
    pub route: Option<Route>,
}

/// Routes for single kinds of events, as version 3 had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Uplink,
    Status,
    Error,
}

impl Route {
    pub fn word(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::Status => "status",
            Self::Error => "error",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Uplink, Self::Status, Self::Error].into_iter().find(|route| route.word() == word)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Uplink,
    Join,
    Ack,
    TxAck,
    Status,
    Log,
    Location,
    Integration,
}

impl Kind {
    /// The kind of an event's name, those of older servers included.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "up" | "uplink" | "rx" => Self::Uplink,
            "join" => Self::Join,
            "ack" => Self::Ack,
            "txack" | "tx_ack" => Self::TxAck,
            "status" => Self::Status,
            "log" | "error" => Self::Log,
            "location" => Self::Location,
            "integration" => Self::Integration,
            _ => return None,
        })
    }
}

impl Hints<'_> {
    /// The kind that the hints name; an unknown name as it is.
    pub(super) fn kind(&self) -> Option<Result<Kind, &str>> {
        match (self.event.filter(|name| !name.is_empty()), self.route) {
            (Some(name), _) => Some(Kind::parse(name).ok_or(name)),
            (None, Some(Route::Uplink)) => Some(Ok(Kind::Uplink)),
            (None, Some(Route::Status)) => Some(Ok(Kind::Status)),
            (None, Some(Route::Error)) => Some(Ok(Kind::Log)),
            (None, None) => None,
        }
    }
}

/// The kind that the fields of a body suggest.
pub(super) fn by_fields(object: &Map<String, Value>) -> Option<Kind> {
    let has = |names: &[&str]| has(object, names);
    let kinds = [
        (has(&["acknowledged"]), Kind::Ack),
        (has(&["margin"]) || has(&["batteryLevelUnavailable", "battery_level_unavailable"]), Kind::Status),
        (has(&["level"]) && has(&["code"]), Kind::Log),
        (has(&["type"]) && has(&["error"]), Kind::Log),
        (has(&["downlinkId", "downlink_id"]), Kind::TxAck),
        (has(&["integrationName", "integration_name"]), Kind::Integration),
        (has(&["location"]), Kind::Location),
        (has(&["data", "fPort", "f_port", "object", "objectJSON"]), Kind::Uplink),
        (has(&["fCnt", "f_cnt"]) && has(&["gatewayID"]), Kind::TxAck),
        (has(&["fCnt", "f_cnt"]), Kind::Uplink),
        (has(&["devAddr", "dev_addr"]), Kind::Join),
        (has(&["rxInfo", "rx_info"]), Kind::Uplink),
        (has(&["status"]), Kind::Status),
    ];
    kinds.into_iter().find(|(applies, _)| *applies).map(|(_, kind)| kind)
}

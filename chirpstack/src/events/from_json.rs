//! Events in JSON, of all dialects: one reader that knows every name of each value.

use serde_json::{Map, Value};

use super::dedup::{self, Ids};
use super::fields::{self, Notes, child, cut, flag, text, whole};
use super::kind::{Hints, Kind, by_fields};
use super::payload::{self, Decoded};
use super::radio::{self, Position, Reception};
use super::{
    Ack, CONTEXT_MAX, DEPTH_MAX, DESCRIPTION_MAX_CHARS, DevEui, DeviceStatus, Event, Integration, Join, Log, LogLevel,
    NAME_MAX_CHARS, NetworkEvent, Presence, TxAck, Unreadable, Uplink, dialect, eui,
};

type Object = Map<String, Value>;

pub(super) fn read(body: &[u8], hints: &Hints<'_>) -> Result<NetworkEvent, Unreadable> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Unreadable::new(format!("no JSON: {error}")))?;
    let Value::Object(body) = &value else { return Err(Unreadable::new("not a JSON object")) };
    if fields::depth(&value) > DEPTH_MAX {
        return Err(Unreadable::new(format!("nested deeper than {DEPTH_MAX}")));
    }
    let dialect = dialect::of_json(body);
    let device = child(body, &["deviceInfo", "device_info"]);
    let dev_eui = dev_eui(body, device)?;
    let mut notes = Notes::default();
    let reception = radio::of_json(body, !dialect.is_v3(), &mut notes);
    let event = match hints.kind() {
        Some(Err(name)) => Event::Other { name: cut(name, NAME_MAX_CHARS) },
        Some(Ok(kind)) => event(body, kind, &reception, &mut notes)?,
        None => match by_fields(body) {
            Some(kind) => event(body, kind, &reception, &mut notes)?,
            None => Event::Other { name: String::new() },
        },
    };
    let ids = Ids {
        deduplication_id: text(body, &["deduplicationId", "deduplication_id"]),
        downlink_id: whole(body, &["downlinkId", "downlink_id"], &mut notes),
        time: text(body, &["time"]),
    };
    let own_time = || fields::time(body, &["time"]).or_else(|| fields::time(body, &["publishedAt", "published_at"]));
    Ok(NetworkEvent {
        dialect,
        application_id: device
            .and_then(|device| text(device, &["applicationId", "application_id"]))
            .or_else(|| text(body, &["applicationID", "applicationId", "application_id"])),
        time: own_time().or(reception.best.and_then(|best| best.time)),
        dedup_key: dedup::key(&dev_eui, &event, &ids),
        dev_eui,
        event,
        ignored: notes.into_texts(),
    })
}

/// The device: the first name that has a value.
fn dev_eui(body: &Object, device: Option<&Object>) -> Result<DevEui, Unreadable> {
    let named = device
        .and_then(|device| text(device, &["devEui", "dev_eui", "devEUI"]))
        .or_else(|| text(body, &["devEUI", "devEui", "dev_eui"]));
    let named = named.ok_or_else(|| Unreadable::new("no device EUI"))?;
    DevEui::parse(&named)
        .ok_or_else(|| Unreadable::new("the device EUI is neither 16 hexadecimal digits nor base64 of 8 bytes"))
}

fn event(body: &Object, kind: Kind, reception: &Reception, notes: &mut Notes) -> Result<Event, Unreadable> {
    Ok(match kind {
        Kind::Uplink => Event::Uplink(Box::new(uplink(body, reception, notes)?)),
        Kind::Join => Event::Join(Join { dev_addr: address(body) }),
        Kind::Ack => Event::Ack(Ack {
            queue_item_id: text(body, &["queueItemId", "queue_item_id"]),
            f_cnt_down: whole(body, &["fCntDown", "f_cnt_down", "fCnt", "f_cnt"], notes),
            acknowledged: flag(body, &["acknowledged"]),
        }),
        Kind::TxAck => Event::TxAck(TxAck {
            queue_item_id: text(body, &["queueItemId", "queue_item_id"]),
            f_cnt_down: whole(body, &["fCntDown", "f_cnt_down", "fCnt", "f_cnt"], notes),
            gateway_id: text(body, &["gatewayId", "gatewayID", "gateway_id"]).map(|id| eui::gateway_id(&id)),
        }),
        Kind::Status => status(body, reception, notes)?,
        Kind::Log => Event::Log(log(body)),
        Kind::Location => {
            let place = child(body, &["location"]).and_then(|place| Position::of_json(place, notes));
            Event::Location(place.ok_or_else(|| Unreadable::new("no location that is known"))?)
        }
        Kind::Integration => Event::Integration(Integration {
            name: text(body, &["integrationName", "integration_name"]).unwrap_or_default(),
            event_type: text(body, &["eventType", "event_type"]).unwrap_or_default(),
            object: match payload::decoded(body) {
                Decoded::Value(Value::Object(object)) => Some(payload::bounded(object)?),
                Decoded::Value(_) | Decoded::Text(_) | Decoded::Absent => None,
            },
        }),
    })
}

fn address(body: &Object) -> Option<String> {
    text(body, &["devAddr", "dev_addr"]).map(|address| eui::address(&address))
}

fn uplink(body: &Object, reception: &Reception, notes: &mut Notes) -> Result<Uplink, Unreadable> {
    let none = Object::new();
    let transmission = child(body, &["txInfo", "tx_info"]).unwrap_or(&none);
    let data = payload::bytes(body, &["data"], notes);
    let payload = payload::choose(payload::decoded(body), &data, is_encrypted(body), notes)?;
    let (spreading_factor, bandwidth_hz) = modulation(transmission, notes);
    Ok(Uplink {
        dev_addr: address(body),
        f_cnt: whole(body, &["fCnt", "f_cnt"], notes),
        f_port: whole(body, &["fPort", "f_port"], notes).filter(|port| *port > 0),
        dr: whole(body, &["dr"], notes).or_else(|| whole(transmission, &["dr"], notes)),
        adr: flag(body, &["adr"]),
        confirmed: flag(body, &["confirmed", "confirmedUplink", "confirmed_uplink"]),
        frequency_hz: whole(transmission, &["frequency"], notes),
        spreading_factor,
        bandwidth_hz,
        battery_level: payload.fields().and_then(payload::battery),
        data,
        payload,
        signal_strength: reception.signal_strength,
        best_gateway: reception.best.clone(),
        gateways: reception.gateways,
    })
}

/// A session key that only the application has.
fn is_encrypted(body: &Object) -> bool {
    let context = child(body, &["joinServerContext", "join_server_context"]);
    context.is_some_and(|context| {
        let envelope = child(context, &["appSKey", "app_s_key"]);
        fields::has(context, &["sessionKeyId", "session_key_id"]) || envelope.is_some_and(|key| !key.is_empty())
    })
}

/// Spreading factor and bandwidth. Version 3 has the bandwidth in kHz.
fn modulation(transmission: &Object, notes: &mut Notes) -> (Option<u32>, Option<u32>) {
    let lora = child(transmission, &["modulation"])
        .and_then(|modulation| child(modulation, &["lora"]))
        .or_else(|| child(transmission, &["loRaModulationInfo", "lora_modulation_info"]));
    let Some(lora) = lora else { return (None, None) };
    let bandwidth: Option<u32> = whole(lora, &["bandwidth"], notes);
    let hz = |bandwidth: u32| if bandwidth < 1_000 { bandwidth * 1_000 } else { bandwidth };
    (whole(lora, &["spreadingFactor", "spreading_factor"], notes), bandwidth.map(hz))
}

/// A status of the network server, or a webhook that says whether the device is there.
fn status(body: &Object, reception: &Reception, notes: &mut Notes) -> Result<Event, Unreadable> {
    if let Some(word) = text(body, &["status"]) {
        let online = match word.to_ascii_lowercase().as_str() {
            "online" => true,
            "offline" => false,
            _ => return Err(Unreadable::new("status is neither online nor offline")),
        };
        let signal_strength = whole(body, &["signal_strength", "rssi"], notes).or(reception.signal_strength);
        return Ok(Event::Presence(Presence { online, battery_level: payload::battery(body), signal_strength }));
    }
    let external_power = flag(body, &["externalPowerSource", "external_power_source"]);
    let is_unknown = external_power || flag(body, &["batteryLevelUnavailable", "battery_level_unavailable"]);
    Ok(Event::Status(DeviceStatus {
        margin: whole(body, &["margin"], notes),
        external_power,
        battery_level: payload::battery(body).filter(|_| !is_unknown),
    }))
}

fn log(body: &Object) -> Log {
    let level = match fields::field(body, &["level"]) {
        Some(Value::String(word)) => level(word),
        Some(Value::Number(number)) => LEVELS.get(index(number.as_u64())).copied(),
        _ => None,
    };
    let code = match fields::field(body, &["code", "type"]) {
        Some(Value::Number(number)) => numbered_code(index(number.as_u64()), fields::has(body, &["type"])),
        _ => text(body, &["code", "type"]).map(|word| current_code(&word)),
    };
    let description = fields::field(body, &["description", "error"]).and_then(Value::as_str).unwrap_or_default();
    let entries = child(body, &["context"]).into_iter().flatten().take(CONTEXT_MAX);
    let mut context: Vec<_> = entries.map(|(name, value)| (cut(name, NAME_MAX_CHARS), short(value))).collect();
    if let Some(frame) = text(body, &["fCnt", "f_cnt"]) {
        context.push(("f_cnt".to_owned(), frame));
    }
    context.sort();
    Log {
        level: level.unwrap_or(LogLevel::Error),
        code: code.unwrap_or_else(|| "UNKNOWN".to_owned()),
        description: cut(description, DESCRIPTION_MAX_CHARS),
        context,
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, NAME_MAX_CHARS),
        other => cut(&other.to_string(), NAME_MAX_CHARS),
    }
}

fn index(number: Option<u64>) -> usize {
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX)
}

/// Levels by number.
pub(super) const LEVELS: [LogLevel; 3] = [LogLevel::Info, LogLevel::Warning, LogLevel::Error];
/// Codes of version 4 by number.
pub(super) const CODES: [&str; 12] = [
    "UNKNOWN",
    "DOWNLINK_PAYLOAD_SIZE",
    "UPLINK_CODEC",
    "DOWNLINK_CODEC",
    "OTAA",
    "UPLINK_F_CNT_RESET",
    "UPLINK_MIC",
    "UPLINK_F_CNT_RETRANSMISSION",
    "DOWNLINK_GATEWAY",
    "RELAY_NEW_END_DEVICE",
    "F_CNT_DOWN",
    "EXPIRED",
];
/// Types of version 3 by number.
pub(super) const V3_TYPES: [&str; 10] = [
    "UNKNOWN",
    "DOWNLINK_PAYLOAD_SIZE",
    "DOWNLINK_FCNT",
    "UPLINK_CODEC",
    "DOWNLINK_CODEC",
    "OTAA",
    "UPLINK_FCNT_RESET",
    "UPLINK_MIC",
    "UPLINK_FCNT_RETRANSMISSION",
    "DOWNLINK_GATEWAY",
];

fn level(word: &str) -> Option<LogLevel> {
    match word.to_ascii_uppercase().as_str() {
        "INFO" => Some(LogLevel::Info),
        "WARNING" => Some(LogLevel::Warning),
        "ERROR" => Some(LogLevel::Error),
        _ => None,
    }
}

pub(super) fn numbered_code(number: usize, is_v3: bool) -> Option<String> {
    let word = if is_v3 { V3_TYPES.get(number) } else { CODES.get(number) };
    word.map(|word| current_code(word))
}

/// The word of version 4 for one of version 3.
fn current_code(word: &str) -> String {
    match word {
        "DOWNLINK_FCNT" => "F_CNT_DOWN".to_owned(),
        word => word.replace("_FCNT_", "_F_CNT_"),
    }
}

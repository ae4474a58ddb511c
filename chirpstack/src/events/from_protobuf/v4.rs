//! Version 4.

use prost_types::value::Kind as JsonKind;
use prost_types::{Struct, Timestamp, Value as ProtoValue};
use serde_json::{Map, Number, Value};

use super::super::dedup::{self, Ids};
use super::super::fields::{Notes, cut};
use super::super::from_json::{LEVELS, numbered_code};
use super::super::kind::Kind;
use super::super::payload::{self, Decoded};
use super::super::protobuf as pb;
use super::super::radio::{Gateway, Position, Reception};
use super::super::{
    Ack, CONTEXT_MAX, DEPTH_MAX, DESCRIPTION_MAX_CHARS, DevEui, Dialect, Event, Integration, Join, Log, LogLevel,
    NAME_MAX_CHARS, NetworkEvent, TxAck, Unreadable, Uplink, eui,
};
use super::{decode, gateway_time, location, port, source, status, text, time};

/// An event without what all events share.
struct Parts {
    device: Option<pb::DeviceInfo>,
    time: Option<Timestamp>,
    ids: Ids,
    event: Event,
}

/// The device of a transmission, if the body is one.
pub(super) fn tx_ack_device(body: &[u8]) -> Option<DevEui> {
    let event: pb::TxAckEvent = decode(body).ok()?;
    DevEui::parse(&event.device_info?.dev_eui)
}

pub(super) fn read(body: &[u8], kind: Result<Kind, &str>) -> Result<NetworkEvent, Unreadable> {
    let mut notes = Notes::default();
    let parts = match kind {
        Ok(kind) => parts(body, kind, &mut notes)?,
        Err(name) => {
            let event: pb::AnyEvent = decode(body)?;
            let other = Event::Other { name: cut(name, NAME_MAX_CHARS) };
            Parts { device: event.device_info, time: event.time, ids: Ids::default(), event: other }
        }
    };
    let device = parts.device.ok_or_else(|| Unreadable::new("no device in the protobuf message"))?;
    let dev_eui = DevEui::parse(&device.dev_eui).ok_or_else(|| Unreadable::new("no device EUI"))?;
    Ok(NetworkEvent {
        dialect: Dialect::V4Protobuf,
        application_id: text(device.application_id),
        time: time(parts.time.as_ref()).or_else(|| gateway_time(&parts.event)),
        dedup_key: dedup::key(&dev_eui, &parts.event, &parts.ids),
        dev_eui,
        event: parts.event,
        ignored: notes.into_texts(),
    })
}

fn parts(body: &[u8], kind: Kind, notes: &mut Notes) -> Result<Parts, Unreadable> {
    let with_id = |id: String| Ids { deduplication_id: text(id), ..Ids::default() };
    Ok(match kind {
        Kind::Uplink => {
            let mut event: pb::UplinkEvent = decode(body)?;
            let (device, time) = (event.device_info.take(), event.time.take());
            let ids = with_id(std::mem::take(&mut event.deduplication_id));
            Parts { device, time, ids, event: Event::Uplink(Box::new(uplink(event, notes)?)) }
        }
        Kind::Join => {
            let event: pb::JoinEvent = decode(body)?;
            let join = Event::Join(Join { dev_addr: text(event.dev_addr) });
            Parts { device: event.device_info, time: event.time, ids: with_id(event.deduplication_id), event: join }
        }
        Kind::Ack => {
            let event: pb::AckEvent = decode(body)?;
            let ack = Event::Ack(Ack {
                queue_item_id: text(event.queue_item_id),
                f_cnt_down: Some(event.f_cnt_down),
                acknowledged: event.acknowledged,
            });
            Parts { device: event.device_info, time: event.time, ids: with_id(event.deduplication_id), event: ack }
        }
        Kind::TxAck => {
            let event: pb::TxAckEvent = decode(body)?;
            let ids = Ids { downlink_id: Some(event.downlink_id), ..Ids::default() };
            let ack = Event::TxAck(TxAck {
                queue_item_id: text(event.queue_item_id),
                f_cnt_down: Some(event.f_cnt_down),
                gateway_id: text(event.gateway_id).map(|id| eui::gateway_id(&id)),
            });
            Parts { device: event.device_info, time: event.time, ids, event: ack }
        }
        Kind::Log => {
            let event: pb::LogEvent = decode(body)?;
            let (device, time) = (event.device_info.clone(), event.time);
            let at = time.as_ref().map(|time| format!("{}.{}", time.seconds, time.nanos));
            Parts { device, time, ids: Ids { time: at, ..Ids::default() }, event: Event::Log(log(event)) }
        }
        Kind::Status => {
            let event: pb::StatusEvent = decode(body)?;
            let (power, unavailable) = (event.external_power_source, event.battery_level_unavailable);
            let status = status(event.margin, power, unavailable, event.battery_level);
            Parts { device: event.device_info, time: event.time, ids: with_id(event.deduplication_id), event: status }
        }
        Kind::Location => {
            let event: pb::LocationEvent = decode(body)?;
            let place = location(event.location.and_then(|place| position(&place)))?;
            Parts { device: event.device_info, time: event.time, ids: with_id(event.deduplication_id), event: place }
        }
        Kind::Integration => {
            let event: pb::IntegrationEvent = decode(body)?;
            let integration = Event::Integration(Integration {
                name: text(event.integration_name).unwrap_or_default(),
                event_type: text(event.event_type).unwrap_or_default(),
                object: event.object.map(|object| payload::bounded(json_object(object, 0))).transpose()?,
            });
            let ids = with_id(event.deduplication_id);
            Parts { device: event.device_info, time: event.time, ids, event: integration }
        }
    })
}

fn uplink(event: pb::UplinkEvent, notes: &mut Notes) -> Result<Uplink, Unreadable> {
    let is_encrypted = event.join_server_context.is_some_and(|context| {
        let envelope = context.app_s_key.unwrap_or_default();
        !context.session_key_id.is_empty() || !envelope.aes_key.is_empty() || !envelope.kek_label.is_empty()
    });
    let decoded = event.object.map_or(Decoded::Absent, |object| Decoded::Value(Value::Object(json_object(object, 0))));
    let payload = payload::choose(decoded, &event.data, is_encrypted, notes)?;
    let reception = Reception::of(event.rx_info.into_iter().map(gateway));
    let transmission = event.tx_info.unwrap_or_default();
    let lora = transmission.modulation.and_then(|modulation| modulation.lora);
    let some = |number: u32| (number > 0).then_some(number);
    Ok(Uplink {
        dev_addr: text(event.dev_addr),
        f_cnt: Some(event.f_cnt),
        f_port: port(event.f_port),
        dr: Some(event.dr),
        adr: event.adr,
        confirmed: event.confirmed,
        frequency_hz: some(transmission.frequency),
        spreading_factor: lora.as_ref().and_then(|lora| some(lora.spreading_factor)),
        bandwidth_hz: lora.as_ref().and_then(|lora| some(lora.bandwidth)),
        battery_level: payload.fields().and_then(payload::battery),
        data: event.data,
        payload,
        signal_strength: reception.signal_strength,
        best_gateway: reception.best,
        gateways: reception.gateways,
    })
}

fn gateway(info: pb::UplinkRxInfo) -> Gateway {
    Gateway {
        time: time(info.gw_time.as_ref()).or_else(|| time(info.ns_time.as_ref())),
        id: text(info.gateway_id).map(|id| eui::gateway_id(&id)),
        rssi: Some(info.rssi),
        // As the decimal number that it was: 9.7 and not 9.699999809265137.
        snr: info.snr.to_string().parse().ok(),
        position: info.location.as_ref().and_then(position),
    }
}

fn position(place: &pb::Location) -> Option<Position> {
    Position {
        latitude: place.latitude,
        longitude: place.longitude,
        altitude: Some(place.altitude),
        accuracy: Some(f64::from(place.accuracy)).filter(|accuracy| *accuracy != 0.0),
        source: source(place.source),
    }
    .checked()
}

fn log(event: pb::LogEvent) -> Log {
    let short = |text: &String| cut(text, NAME_MAX_CHARS);
    let mut context: Vec<_> = event.context.iter().map(|(name, value)| (short(name), short(value))).collect();
    context.sort();
    context.truncate(CONTEXT_MAX);
    let code = usize::try_from(event.code).ok().and_then(|code| numbered_code(code, false));
    Log {
        level: usize::try_from(event.level)
            .ok()
            .and_then(|level| LEVELS.get(level).copied())
            .unwrap_or(LogLevel::Error),
        code: code.unwrap_or_else(|| format!("CODE_{}", event.code)),
        description: cut(&event.description, DESCRIPTION_MAX_CHARS),
        context,
    }
}

fn json_object(object: Struct, depth: usize) -> Map<String, Value> {
    object.fields.into_iter().map(|(name, value)| (name, json(value, depth + 1))).collect()
}

/// Values below the deepest nesting are not read: [`payload::bounded`] refuses the object.
fn json(value: ProtoValue, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    match value.kind {
        None | Some(JsonKind::NullValue(_)) => Value::Null,
        Some(JsonKind::NumberValue(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Some(JsonKind::StringValue(text)) => Value::String(text),
        Some(JsonKind::BoolValue(flag)) => Value::Bool(flag),
        Some(JsonKind::StructValue(object)) => Value::Object(json_object(object, depth)),
        Some(JsonKind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(|value| json(value, depth + 1)).collect())
        }
    }
}

//! Translates an event of a network server into its effects. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chirpstack::events::{
    Ack, DeviceStatus, Event, Gateway, Integration, Join, Log, LogLevel, NetworkEvent, Payload, Position, Presence,
    Uplink,
};
use serde_json::{Map, Value, json};

use super::wire::{self, DeviceMessage};

/// One effect of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Message(DeviceMessage),
    /// Measurements and readings of the radio, by which the device has made contact.
    Measured(Map<String, Value>),
    /// A statement of the network server about the device.
    Notice(Value),
    /// A downlink ended, or may have ended, and the device has not received it.
    DownlinkMissed,
}

/// The name of an event's kind, for metrics.
pub(super) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Uplink(_) => "uplink",
        Event::Join(_) => "join",
        Event::Ack(_) => "ack",
        Event::TxAck(_) => "txack",
        Event::Status(_) => "status",
        Event::Presence(_) => "presence",
        Event::Log(_) => "log",
        Event::Location(_) => "location",
        Event::Integration(_) => "integration",
        Event::Other { .. } => "other",
    }
}

/// All effects of an event, and why a part of it has none.
pub(super) fn parts(event: &NetworkEvent) -> (Vec<Part>, Vec<String>) {
    let mut ignored = event.ignored.clone();
    let parts = match &event.event {
        Event::Uplink(uplink) => of_uplink(uplink, &mut ignored),
        Event::Join(join) => of_join(join),
        Event::Ack(Ack { acknowledged: false, .. }) => vec![Part::DownlinkMissed],
        // The device answers a command with a report of its own.
        Event::Ack(_) | Event::TxAck(_) => vec![],
        Event::Status(status) => vec![Part::Measured(of_status(status))],
        Event::Presence(presence) => vec![of_presence(presence)],
        Event::Log(log) => of_log(log),
        Event::Location(position) => {
            vec![Part::Measured(Map::from_iter([("location".to_owned(), place(position))]))]
        }
        Event::Integration(Integration { name, event_type, object }) => {
            let context = object.clone().map_or(Value::Null, Value::Object);
            vec![Part::Notice(json!({"level": "info", "code": event_type, "description": name, "context": context}))]
        }
        Event::Other { .. } => vec![],
    };
    (parts, ignored)
}

fn of_uplink(uplink: &Uplink, ignored: &mut Vec<String>) -> Vec<Part> {
    let readings = [
        ("battery_level", uplink.battery_level.map(Value::from)),
        ("signal_strength", uplink.signal_strength.map(Value::from)),
    ];
    let message = wire::message(uplink).unwrap_or_else(|error| {
        ignored.push(format!("a message on port {}: {error}", crate::lorawan::codec::PORT));
        None
    });
    let message = message.map(|message| match message {
        DeviceMessage::Presence { mut body, firmware_short } => {
            body.extend(present(readings.clone()));
            DeviceMessage::Presence { body, firmware_short }
        }
        report @ DeviceMessage::Report { .. } => report,
    });
    let mut data = uplink.payload.fields().cloned().unwrap_or_default();
    data.extend(present(readings));
    data.insert("lorawan".to_owned(), Value::Object(radio(uplink)));
    message.map(Part::Message).into_iter().chain([Part::Measured(data)]).collect()
}

fn present<const N: usize>(values: [(&str, Option<Value>); N]) -> impl Iterator<Item = (String, Value)> + use<N> {
    values.map(|(name, value)| (name.to_owned(), value)).into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// Readings of the transmission.
fn radio(uplink: &Uplink) -> Map<String, Value> {
    let gateway = uplink.best_gateway.as_ref();
    let bytes = (!uplink.data.is_empty()).then(|| Value::from(BASE64_STANDARD.encode(&uplink.data)));
    let text = match &uplink.payload {
        Payload::Text(text) => Some(Value::from(text.clone())),
        _ => None,
    };
    let encrypted = matches!(uplink.payload, Payload::Encrypted).then_some(Value::Bool(true));
    let values = [
        ("f_cnt", uplink.f_cnt.map(Value::from)),
        ("f_port", uplink.f_port.map(Value::from)),
        ("dr", uplink.dr.map(Value::from)),
        ("confirmed", Some(Value::Bool(uplink.confirmed))),
        ("adr", Some(Value::Bool(uplink.adr))),
        ("dev_addr", uplink.dev_addr.clone().map(Value::from)),
        ("frequency_hz", uplink.frequency_hz.map(Value::from)),
        ("spreading_factor", uplink.spreading_factor.map(Value::from)),
        ("bandwidth_hz", uplink.bandwidth_hz.map(Value::from)),
        ("rssi", uplink.signal_strength.map(Value::from)),
        ("snr", gateway.and_then(|gateway| gateway.snr).map(Value::from)),
        ("gateways", Some(Value::from(uplink.gateways))),
        ("gateway_id", gateway.and_then(|Gateway { id, .. }| id.clone()).map(Value::from)),
        ("location", gateway.and_then(|gateway| gateway.position.as_ref()).map(place)),
        ("data", bytes),
        ("text", text),
        ("encrypted", encrypted),
    ];
    present(values).collect()
}

fn place(position: &Position) -> Value {
    serde_json::to_value(position).unwrap_or_default()
}

fn of_join(Join { dev_addr }: &Join) -> Vec<Part> {
    let lorawan = json!({"dev_addr": dev_addr});
    let notice = json!({"level": "info", "code": "JOINED", "description": "the device has joined the network", "context": lorawan});
    vec![Part::Notice(notice), Part::Measured(Map::from_iter([("lorawan".to_owned(), lorawan)]))]
}

fn of_status(status: &DeviceStatus) -> Map<String, Value> {
    let values = [
        ("battery_level", status.battery_level.map(Value::from)),
        ("external_power", Some(Value::Bool(status.external_power))),
        ("lorawan", status.margin.map(|margin| json!({"margin": margin}))),
    ];
    present(values).collect()
}

fn of_presence(presence: &Presence) -> Part {
    if !presence.online {
        let body = Map::from_iter([("status".to_owned(), Value::from("offline"))]);
        return Part::Message(DeviceMessage::Presence { body, firmware_short: None });
    }
    let values = [
        ("battery_level", presence.battery_level.map(Value::from)),
        ("signal_strength", presence.signal_strength.map(Value::from)),
    ];
    Part::Measured(present(values).collect())
}

fn of_log(log: &Log) -> Vec<Part> {
    let level = match log.level {
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    };
    let context: Map<String, Value> =
        log.context.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let context = if context.is_empty() { Value::Null } else { Value::Object(context) };
    let notice = json!({"level": level, "code": log.code, "description": log.description, "context": context});
    let mut parts = vec![Part::Notice(notice)];
    // A gateway could not send a downlink, which stays in the queue, or the network server has dropped one.
    if log.code == "DOWNLINK_GATEWAY" || log.dropped_item().is_some() {
        parts.push(Part::DownlinkMissed);
    }
    parts
}

#[cfg(test)]
mod tests {
    use chirpstack::events::{Hints, Route, normalise};

    use super::*;

    fn of(body: &str, hints: Hints<'_>) -> (Vec<Part>, Vec<String>) {
        parts(&normalise(body.as_bytes(), &hints).unwrap())
    }

    #[test]
    fn the_classical_webhook_is_measurements_with_battery_and_signal() {
        let body =
            r#"{"devEUI":"0102030405060708","objectJSON":"{\"temp\": 22.5, \"battery\": 85}","rxInfo":[{"rssi":-95}]}"#;
        let (parts, ignored) = of(body, Hints { event: None, route: Some(Route::Uplink) });
        let [Part::Measured(data)] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!(data["temp"], 22.5);
        assert_eq!((data["battery_level"].as_f64(), data["signal_strength"].as_i64()), (Some(85.0), Some(-95)));
        assert_eq!(data["lorawan"]["gateways"], 1);
        assert!(ignored.is_empty());
    }

    #[test]
    fn a_boot_has_the_readings_of_its_uplink() {
        let body = r#"{"deviceInfo":{"devEui":"0102030405060708"},"fPort":20,"data":"ggUCAQA=","rxInfo":[{"rssi":-70,"snr":3}]}"#;
        let (parts, _) = of(body, Hints::default());
        let [Part::Message(DeviceMessage::Presence { body, .. }), Part::Measured(data)] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        assert_eq!((&body["firmware_version"], &body["signal_strength"]), (&json!("2.1.0"), &json!(-70)));
        assert_eq!((&data["lorawan"]["f_port"], &data["lorawan"]["data"]), (&json!(20), &json!("ggUCAQA=")));
    }

    #[test]
    fn bytes_that_are_no_message_are_noted_and_count_as_contact() {
        let body = r#"{"deviceInfo":{"devEui":"0102030405060708"},"fPort":20,"data":"fwE="}"#;
        let (parts, ignored) = of(body, Hints::default());
        assert!(matches!(parts.as_slice(), [Part::Measured(_)]));
        assert_eq!(ignored, ["a message on port 20: the first byte is 0x7f, which is no message to Waybill"]);
    }

    #[test]
    fn a_log_that_ends_a_downlink_makes_its_sender_look_again() {
        let log = |code: &str, context: Value| {
            let body = json!({"deviceInfo": {"devEui": "0102030405060708"}, "level": "ERROR", "code": code, "description": "TOO_LATE", "context": context});
            of(&body.to_string(), Hints::default()).0
        };
        for code in ["EXPIRED", "DOWNLINK_PAYLOAD_SIZE", "F_CNT_DOWN"] {
            assert_eq!(log(code, json!({"queue_item_id": "q"}))[1], Part::DownlinkMissed);
        }
        assert_eq!(log("DOWNLINK_GATEWAY", json!({}))[1], Part::DownlinkMissed);
        assert_eq!(log("UPLINK_CODEC", json!({})).len(), 1);
    }

    #[test]
    fn a_status_webhook_is_contact_or_the_end_of_it() {
        let route = Hints { event: None, route: Some(Route::Status) };
        let (online, _) = of(r#"{"devEUI":"0102030405060708","status":"online"}"#, route);
        assert_eq!(online, [Part::Measured(Map::new())]);
        let (offline, _) = of(r#"{"devEUI":"0102030405060708","status":"offline"}"#, route);
        assert!(
            matches!(&offline[0], Part::Message(DeviceMessage::Presence { body, .. }) if body["status"] == "offline")
        );
    }
}

//! Uplinks as the messages that a device with MQTT would publish: `status` and reports.

use chirpstack::events::Uplink;
use serde_json::{Map, Value, json};

use crate::lorawan::codec::{self, NotAMessage, UpMessage};
use crate::wire::StatusReport;

/// Fields of `status` that an object of an uplink may have.
const PRESENCE: [&str; 9] =
    ["status", "session", "boot_id", "firmware_version", "versions", "trial", "slot", "external_power", "last_update"];
/// An object is a `status` if it has one of these fields: they say what the device runs.
const PROOFS: [&str; 4] = ["boot_id", "firmware_version", "versions", "last_update"];
/// The first bytes of the SHA-256 of the firmware that runs, in hexadecimal digits.
const FIRMWARE_SHORT: &str = "firmware_short";

/// A message of a device about itself or an update.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DeviceMessage {
    /// On an update. Without an ordinal: on the one that is under way.
    Report { ordinal: Option<u32>, body: Value },
    /// As on the topic `status`.
    Presence { body: Map<String, Value>, firmware_short: Option<u32> },
}

/// The message in an uplink, if it has one beside measurements. Bytes of the compact codec count before a decoded object, which may have been
/// made of them.
pub(super) fn message(uplink: &Uplink) -> Result<Option<DeviceMessage>, NotAMessage> {
    let is_readable = !matches!(uplink.payload, chirpstack::events::Payload::Encrypted);
    let of_object = || uplink.payload.fields().and_then(of_object);
    if is_readable && uplink.f_port == Some(codec::PORT) && !is_json(&uplink.data) && !uplink.data.is_empty() {
        return match UpMessage::decode(&uplink.data) {
            Ok(message) => Ok(wire_of(&message).as_object().and_then(self::of_object)),
            Err(error) => of_object().map_or(Err(error), |message| Ok(Some(message))),
        };
    }
    Ok(of_object())
}

fn is_json(data: &[u8]) -> bool {
    data.trim_ascii_start().first() == Some(&b'{')
}

/// A message of the compact codec as an object. ChirpStack's codec, with the decoder examples/chirpstack_codec.js, makes the same.
fn wire_of(message: &UpMessage) -> Value {
    match message {
        UpMessage::Report { ordinal, attempt, status, progress, code } => {
            let mut body = json!({"ordinal": ordinal, "attempt": attempt, "status": status.word()});
            if let Some(progress) = progress {
                body["progress"] = json!(progress);
            }
            if let Some(code) = code.and_then(codec::code_word) {
                body["code"] = json!(code);
            }
            body
        }
        UpMessage::Version { boot, version: [major, minor, patch] } => {
            json!({"status": "online", "boot_id": format!("b{boot}"), "firmware_version": format!("{major}.{minor}.{patch}")})
        }
        UpMessage::Firmware { boot, firmware_short } => {
            json!({"status": "online", "boot_id": format!("b{boot}"), FIRMWARE_SHORT: format!("{firmware_short:08x}")})
        }
    }
}

/// The message in an object, if it has the fields of a report or of `status`.
fn of_object(object: &Map<String, Value>) -> Option<DeviceMessage> {
    if let Some(report) = report(object) {
        return Some(report);
    }
    let firmware_short = object.get(FIRMWARE_SHORT).and_then(Value::as_str).and_then(short);
    let has_proof = PROOFS.iter().any(|name| object.get(*name).is_some_and(|value| !value.is_null()));
    let status = object.get("status").and_then(Value::as_str);
    let is_status = status.is_none_or(|status| matches!(status, "online" | "offline"));
    if !is_status || (!has_proof && firmware_short.is_none()) {
        return None;
    }
    let object = whole(object);
    let known = PRESENCE.iter().filter_map(|name| Some(((*name).to_owned(), object.get(*name)?.clone())));
    let mut body: Map<String, Value> = known.collect();
    body.entry("status").or_insert_with(|| "online".into());
    Some(DeviceMessage::Presence { body, firmware_short })
}

fn short(digits: &str) -> Option<u32> {
    (digits.len() == 8).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// A report has an attempt and a status of the protocol. Measurements may have a `status` too.
fn report(object: &Map<String, Value>) -> Option<DeviceMessage> {
    object.get("attempt")?.as_f64()?;
    let body = Value::Object(whole(object));
    StatusReport::read(body.to_string().as_bytes()).ok()?.to_report(1).ok()?;
    let ordinal = body.get("ordinal").and_then(Value::as_u64).map(|ordinal| u32::try_from(ordinal).unwrap_or(u32::MAX));
    Some(DeviceMessage::Report { ordinal, body })
}

/// ChirpStack's decoded objects have only numbers with a fraction: `1` comes as `1.0`.
fn whole(object: &Map<String, Value>) -> Map<String, Value> {
    let whole = |value: &Value| match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && (0.0..4e9).contains(&number) => json!(number as u64),
        _ => value.clone(),
    };
    object.iter().map(|(name, value)| (name.clone(), whole(value))).collect()
}

#[cfg(test)]
mod tests {
    use chirpstack::events::{Event, Hints, normalise};

    use super::*;

    /// Messages of devices in bytes and in JSON, for this codec and the one in JavaScript.
    const VECTORS: &str = include_str!("../lorawan/vectors.json");

    fn of(body: Value) -> Result<Option<DeviceMessage>, NotAMessage> {
        let mut body = body;
        body["devEUI"] = "0102030405060708".into();
        let event = normalise(body.to_string().as_bytes(), &Hints { event: Some("up"), route: None }).unwrap();
        let Event::Uplink(uplink) = event.event else { panic!() };
        message(&uplink)
    }

    fn report(ordinal: Option<u32>, body: Value) -> Result<Option<DeviceMessage>, NotAMessage> {
        Ok(Some(DeviceMessage::Report { ordinal, body }))
    }

    #[test]
    fn bytes_of_the_codec_are_reports_and_boots() {
        let wanted = json!({"ordinal": 7, "attempt": 1, "status": "downloading", "progress": 40});
        assert_eq!(of(json!({"fPort": 20, "data": "gQAHAQMo"})), report(Some(7), wanted.clone()));
        // The decoder of ChirpStack has made this object of the same bytes.
        let decoded = json!({"ordinal": 7.0, "attempt": 1.0, "status": "downloading", "progress": 40.0});
        assert_eq!(of(json!({"fPort": 20, "data": "gQAHAQMo", "object": decoded})), report(Some(7), wanted));
        assert!(of(json!({"fPort": 2, "object": decoded})).unwrap().is_some(), "on any port");
        let Ok(Some(DeviceMessage::Presence { body, firmware_short })) = of(json!({"fPort": 20, "data": "gwaJq83v"}))
        else {
            panic!()
        };
        assert_eq!(
            (Value::Object(body), firmware_short),
            (json!({"status": "online", "boot_id": "b6"}), Some(0x89ab_cdef))
        );
        assert_eq!(of(json!({"fPort": 20, "data": "AQAH"})), Err(NotAMessage::Unknown(1)));
        assert_eq!(of(json!({"fPort": 21, "data": "gQAHAQMo"})), Ok(None), "another port is the device's own");
        assert_eq!(of(json!({"fPort": 20, "data": "gQAHAQMo", "joinServerContext": {"sessionKeyId": "1"}})), Ok(None));
    }

    #[test]
    fn bytes_and_json_say_the_same() {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        assert!(vectors.len() >= 8);
        for vector in vectors {
            let bytes: Vec<u8> = serde_json::from_value(vector["bytes"].clone()).unwrap();
            let found = UpMessage::decode(&bytes).map(|message| wire_of(&message));
            assert_eq!(found.ok(), vector.get("object").cloned(), "{bytes:?}");
        }
    }

    #[test]
    fn json_has_the_fields_of_mqtt() {
        let body = json!({"attempt": 2, "status": "failed", "code": "no_space"});
        assert_eq!(of(json!({"objectJSON": body.to_string()})), report(None, body));
        let Ok(Some(DeviceMessage::Presence { body, .. })) =
            of(json!({"object": {"firmware_version": "1.0.7", "boot_id": 4, "temperature": 21}}))
        else {
            panic!()
        };
        assert_eq!(Value::Object(body), json!({"status": "online", "firmware_version": "1.0.7", "boot_id": 4}));
    }

    #[test]
    fn measurements_say_nothing_about_updates() {
        for object in [
            json!({"temperature": 21}),
            json!({"status": "ok", "boot_id": 4}),
            json!({"attempt": 1, "status": "ok"}),
            json!({"status": "failed"}),
            json!({"firmware_version": null}),
        ] {
            assert_eq!(of(json!({"object": object})), Ok(None), "{object}");
        }
    }
}

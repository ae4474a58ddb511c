//! What a payload says: the decoded object, JSON in its bytes, its bytes, or nothing.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::fields::{self, Notes, cut};
use super::{DEPTH_MAX, NAME_MAX_CHARS, OBJECT_MAX_BYTES, Payload, Unreadable};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
/// Names of a battery's level in decoded objects, the first that has one counts.
const BATTERY: [&str; 3] = ["battery_level", "batteryLevel", "battery"];
/// Name of a decoded value that is no object.
const VALUE: &str = "value";

/// Base64 of either alphabet, with or without padding.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let text = text.trim();
    let is_url_safe = text.bytes().any(|b| matches!(b, b'-' | b'_'));
    if is_url_safe { URL_SAFE_ENGINE.decode(text) } else { STANDARD_ENGINE.decode(text) }
}

/// Bytes of a field in base64; noted if they are none.
pub(super) fn bytes(object: &Map<String, Value>, names: &[&str], notes: &mut Notes) -> Vec<u8> {
    let decoded = match fields::field(object, names) {
        None => return Vec::new(),
        Some(Value::String(text)) => base64(text).ok(),
        Some(_) => None,
    };
    if decoded.is_none() {
        notes.add("data is not base64");
    }
    decoded.unwrap_or_default()
}

/// The decoded object of an event, as it came.
pub(super) enum Decoded {
    Value(Value),
    /// A text that is no JSON.
    Text(String),
    Absent,
}

/// The decoded object of a JSON body: `object`, or `objectJSON` with its text.
pub(super) fn decoded(object: &Map<String, Value>) -> Decoded {
    let parsed = |text: &str| match serde_json::from_str::<Value>(text) {
        _ if text.trim().is_empty() => Decoded::Absent,
        Ok(value) => Decoded::Value(value),
        Err(_) => Decoded::Text(text.to_owned()),
    };
    match (object.get("object"), object.get("objectJSON").or_else(|| object.get("object_json"))) {
        (Some(Value::Object(fields)), _) if !fields.is_empty() => Decoded::Value(Value::Object(fields.clone())),
        (_, Some(Value::String(text))) if !text.trim().is_empty() => parsed(text),
        (_, Some(value @ Value::Object(_))) => Decoded::Value(value.clone()),
        (Some(Value::String(text)), _) => parsed(text),
        (Some(Value::Null | Value::Object(_)) | None, _) => Decoded::Absent,
        (Some(value), _) => Decoded::Value(value.clone()),
    }
}

/// What a payload says, by the order of the sources.
pub(super) fn choose(
    decoded: Decoded,
    data: &[u8],
    is_encrypted: bool,
    notes: &mut Notes,
) -> Result<Payload, Unreadable> {
    if is_encrypted {
        return Ok(Payload::Encrypted);
    }
    let text = match decoded {
        Decoded::Value(Value::Object(object)) if !object.is_empty() => return bounded(object).map(Payload::Decoded),
        Decoded::Value(Value::Null | Value::Object(_)) | Decoded::Absent => None,
        Decoded::Value(value) => {
            return bounded(Map::from_iter([(VALUE.to_owned(), value)])).map(Payload::Decoded);
        }
        Decoded::Text(text) => {
            notes.add("objectJSON is no JSON");
            Some(cut(&text, NAME_MAX_CHARS))
        }
    };
    let is_object = data.trim_ascii_start().first() == Some(&b'{');
    match serde_json::from_slice(data) {
        Ok(Value::Object(object)) if is_object && !object.is_empty() => bounded(object).map(Payload::Json),
        _ if !data.is_empty() => Ok(Payload::Raw),
        _ => Ok(text.map_or(Payload::None, Payload::Text)),
    }
}

/// The object, if it is within the bounds.
pub(super) fn bounded(object: Map<String, Value>) -> Result<Map<String, Value>, Unreadable> {
    let value = Value::Object(object);
    if fields::depth(&value) > DEPTH_MAX {
        return Err(Unreadable::new(format!("the decoded object is nested deeper than {DEPTH_MAX}")));
    }
    if value.to_string().len() > OBJECT_MAX_BYTES {
        return Err(Unreadable::new(format!("the decoded object has more than {OBJECT_MAX_BYTES} bytes")));
    }
    match value {
        Value::Object(object) => Ok(object),
        _ => Ok(Map::new()),
    }
}

/// Per cent, from the first name with a number in range.
pub(super) fn battery(object: &Map<String, Value>) -> Option<f64> {
    let level = |name: &&str| object.get(*name).and_then(fields::number).filter(|level| (0.0..=100.0).contains(level));
    BATTERY.iter().find_map(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        for text in ["+/8=", "+/8", "-_8=", "-_8", " -_8 "] {
            assert_eq!(base64(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        assert!(base64("a b").is_err());
    }

    #[test]
    fn the_first_battery_in_range_counts() {
        let battery = |json: Value| battery(json.as_object().unwrap());
        assert_eq!(battery(serde_json::json!({"battery": 85})), Some(85.0));
        assert_eq!(
            battery(serde_json::json!({"battery_level": 254, "batteryLevel": "71.5", "battery": 85})),
            Some(71.5)
        );
        assert_eq!(battery(serde_json::json!({"battery": -1})), None);
    }
}

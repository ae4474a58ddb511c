//! Limits and parsers that the messages share.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::Sealed;
use domain::values::{FIRMWARE_COMPONENT, TAGS_MAX, is_component, is_short_text, is_version_text};
use serde_json::Value;

use super::Malformed;

/// Longest free text of a device, in characters; the rest is cut off.
const MESSAGE_MAX_CHARS: usize = 256;
/// Longest session or boot id, in bytes.
const MARK_MAX_BYTES: usize = 64;
/// Most components a device can name.
const COMPONENTS_MAX: usize = 16;
/// Characters of an invalid value that are quoted.
const SHOWN_MAX_CHARS: usize = 32;
/// Form of a time, for texts.
pub(super) const TIME: &str = "a time: RFC 3339, or seconds or milliseconds since 1970";
/// Numbers above this are milliseconds since 1970, below it seconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Free text of a device, cut to the bound.
pub(super) fn message(text: Option<String>) -> Option<Sealed<String>> {
    text.filter(|text| !text.is_empty()).map(|text| Sealed::Plain(text.chars().take(MESSAGE_MAX_CHARS).collect()))
}

/// A session, a boot or a slot: a short text, or a number as devices count their boots.
pub(super) fn mark(name: &str, value: &Value) -> Result<Option<String>, Malformed> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Malformed::new(format!("{name} is neither a text nor a number")));
        }
    };
    let fits = text.len() <= MARK_MAX_BYTES && !text.chars().any(char::is_control);
    if fits { Ok(Some(text)) } else { Err(Malformed::new(format!("{name} is longer than {MARK_MAX_BYTES} bytes"))) }
}

/// Versions per component; `firmware_version` means the component `firmware`. Blanks around a version are dropped: firmware often reads it
/// from a file with a line end.
pub(super) fn versions(
    versions: BTreeMap<String, String>,
    firmware_version: Option<String>,
) -> Result<BTreeMap<String, String>, Malformed> {
    let mut all = versions;
    if let Some(version) = firmware_version {
        all.entry(FIRMWARE_COMPONENT.to_owned()).or_insert(version);
    }
    all.values_mut().for_each(|version| *version = version.trim().to_owned());
    if all.len() > COMPONENTS_MAX {
        return Err(Malformed::new(format!("more than {COMPONENTS_MAX} components")));
    }
    let wrong = all.iter().find(|(component, version)| !is_component(component) || !is_version_text(version));
    match wrong {
        None => Ok(all),
        Some(_) => {
            Err(Malformed::new("a component or version is empty, too long or has characters that are not allowed"))
        }
    }
}

/// Attributes: short texts; numbers and truth values are written as text.
pub(super) fn attributes(found: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, Malformed> {
    if found.len() > TAGS_MAX {
        return Err(Malformed::new(format!("more than {TAGS_MAX} attributes")));
    }
    found
        .into_iter()
        .map(|(key, value)| {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(Malformed::new("an attribute is neither a text nor a number"));
                }
            };
            if is_short_text(&key) && is_short_text(&text) {
                Ok((key, text))
            } else {
                Err(Malformed::new("an attribute is empty or too long"))
            }
        })
        .collect()
}

/// A short text such as a hardware version; empty is absent.
pub(super) fn short_text(name: &str, text: Option<String>) -> Result<Option<String>, Malformed> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if !is_short_text(&text) => Err(Malformed::new(format!("{name} is too long"))),
        text => Ok(text),
    }
}

/// The time according to the device: RFC 3339, or seconds or milliseconds since 1970. Other values are ignored, because clocks of devices
/// are often wrong.
pub(super) fn device_time(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()),
        Value::Number(number) => match number.as_i64()? {
            milliseconds if milliseconds >= MILLISECONDS_FROM => DateTime::from_timestamp_millis(milliseconds),
            seconds => DateTime::from_timestamp(seconds, 0),
        },
        _ => None,
    }
}

/// A whole number in a range; other values count as absent, because no rule depends on it.
pub(super) fn reading(value: &Value, least: i16, most: i16) -> Option<i16> {
    let rounded = value.as_f64()?.round();
    (f64::from(least)..=f64::from(most)).contains(&rounded).then_some(rounded as i16)
}

/// A non-negative whole number, fractions cut off; other values count as absent.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let fraction =
        || value.as_f64().filter(|number| (0.0..u64::MAX as f64).contains(number)).map(|number| number as u64);
    value.as_u64().or_else(fraction)
}

/// A text; other values count as absent.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Lists invalid values. Each entry has the name, the value, whether it is valid, and the valid form.
pub(super) fn ignored<const N: usize>(values: [(&str, &Value, bool, &str); N]) -> Option<String> {
    let odd = values.into_iter().filter(|(_, value, fits, _)| !fits && !value.is_null());
    let texts: Vec<String> = odd
        .map(|(name, value, _, wanted)| {
            let shown: String = value.to_string().chars().take(SHOWN_MAX_CHARS).collect();
            format!("{name} is {shown}, not {wanted}")
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Whether a value can be read as a flag.
pub(super) fn is_flag(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => matches!(text.as_str(), "true" | "1" | "yes" | "false" | "0" | "no" | ""),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether a flag is set, in any accepted spelling.
pub(super) fn is_yes(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.as_str(), "true" | "1" | "yes"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

//! In which form and dialect a body is. Servers are configured once for all of their events, and nothing beside the body tells.

use serde::Serialize;
use serde_json::{Map, Value};

use super::eui;

/// Version and form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    V4Json,
    V4Protobuf,
    /// Version 3, marshaler `JSON`: bytes in base64, the decoded object as a text.
    V3Json,
    /// Version 3, marshaler `JSON_V3`: bytes in hexadecimal digits, the decoded object as an object.
    V3JsonV3,
    V3Protobuf,
}

pub(super) enum Form<'a> {
    Empty,
    Json(&'a [u8]),
    Protobuf,
}

/// A protobuf body begins with the tag of its first field, which is no `{`. It may begin with a byte that is a line feed in JSON.
pub(super) fn form(body: &[u8]) -> Form<'_> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    match (text.first(), body.first()) {
        (None, _) => Form::Empty,
        (Some(b'{'), _) => Form::Json(text),
        // Texts that are no object, so that the reason says it.
        (Some(_), Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) => Form::Json(text),
        _ => Form::Protobuf,
    }
}

/// The dialect of a JSON object.
pub(super) fn of_json(object: &Map<String, Value>) -> Dialect {
    let has = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
    if has("deviceInfo") || has("device_info") {
        return Dialect::V4Json;
    }
    match object.get("devEUI") {
        Some(Value::String(text)) if has("objectJSON") || eui::is_base64(text) => Dialect::V3Json,
        Some(_) => Dialect::V3JsonV3,
        None => Dialect::V4Json,
    }
}

impl Dialect {
    pub fn is_v3(self) -> bool {
        matches!(self, Self::V3Json | Self::V3JsonV3 | Self::V3Protobuf)
    }
}

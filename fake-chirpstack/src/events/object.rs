//! `google.protobuf.Struct` from and to JSON. All numbers are doubles.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number};

/// Levels of nesting at most; deeper values become null.
const DEPTH_MAX: usize = 32;

/// The fields of a JSON object.
#[must_use]
pub fn to_struct(object: &Map<String, serde_json::Value>) -> Struct {
    fields(object, DEPTH_MAX)
}

/// A JSON object of the fields.
#[must_use]
pub fn from_struct(object: &Struct) -> serde_json::Value {
    serde_json::Value::Object(object.fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect())
}

fn fields(object: &Map<String, serde_json::Value>, depth: usize) -> Struct {
    Struct { fields: object.iter().map(|(name, value)| (name.clone(), to_value(value, depth))).collect() }
}

fn to_value(value: &serde_json::Value, depth: usize) -> Value {
    let kind = match value {
        _ if depth == 0 => Kind::NullValue(0),
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(|value| to_value(value, depth - 1)).collect() })
        }
        serde_json::Value::Object(object) => Kind::StructValue(fields(object, depth - 1)),
    };
    Value { kind: Some(kind) }
}

fn from_value(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(flag)) => (*flag).into(),
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(*number).map_or(serde_json::Value::Null, serde_json::Value::Number)
        }
        Some(Kind::StringValue(text)) => text.clone().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(from_value).collect(),
        Some(Kind::StructValue(object)) => from_struct(object),
    }
}

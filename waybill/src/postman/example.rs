//! A value that fits a schema: its own example, or else the least that it asks for.

use serde_json::{Map, Value, json};

use super::api::{Api, Parameter};

/// Schemas are followed so deep; deeper ones are null.
const DEPTH_MAX: usize = 8;
const UUID: &str = "0196f2a4-7c1e-7d3a-9b52-3f60c1d2e4a5";
const TIME: &str = "2099-01-01T00:00:00Z";

/// A value of the schema: of an object the fields that are required or have an example.
pub(super) fn of(api: &Api, schema: &Value) -> Value {
    at_depth(api, schema, 0)
}

/// A value of a parameter.
pub(super) fn of_parameter(api: &Api, parameter: &Parameter) -> Value {
    parameter.given.clone().unwrap_or_else(|| of(api, &parameter.schema))
}

fn at_depth(api: &Api, schema: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let schema = api.resolved(schema);
    let deeper = |inner: &Value| at_depth(api, inner, depth + 1);
    for given in ["example", "const", "default"] {
        if let Some(value) = schema.get(given).filter(|value| !value.is_null()) {
            return value.clone();
        }
    }
    let first = |list: &str| schema.get(list).and_then(Value::as_array).and_then(|list| list.first());
    if let Some(value) = first("examples").or_else(|| first("enum")) {
        return value.clone();
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let fields = parts.iter().map(deeper).filter_map(|part| part.as_object().cloned()).flatten();
        return Value::Object(fields.collect());
    }
    if let Some(choice) = first("oneOf").or_else(|| first("anyOf")) {
        return deeper(choice);
    }
    match kind(schema) {
        "object" => object(api, schema, depth),
        "array" => Value::Array(schema.get("items").map(deeper).into_iter().collect()),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(false),
        "string" => json!(string(schema)),
        _ => Value::Null,
    }
}

fn object(api: &Api, schema: &Value, depth: usize) -> Value {
    let required =
        |name: &String| schema["required"].as_array().is_some_and(|names| names.iter().any(|other| other == name));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let shown = fields.filter(|(name, field)| required(name) || api.resolved(field).get("example").is_some());
    Value::Object(shown.map(|(name, field)| (name.clone(), at_depth(api, field, depth + 1))).collect::<Map<_, _>>())
}

/// The type; of several, the first that isn't null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    }
}

fn string(schema: &Value) -> &'static str {
    match schema["format"].as_str() {
        Some("uuid") => UUID,
        Some("date-time") => TIME,
        _ => "example",
    }
}

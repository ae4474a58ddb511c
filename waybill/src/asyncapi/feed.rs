//! FEED: one channel, one message per event type and version, from the golden files of the feed.
//!
//! A schema follows from its golden example: names, types, formats. The rest is in [`super::feed_fields`]: meanings, and which objects are
//! maps.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use chrono::DateTime;
use event_store::feed::{POSITION_HEADER, TRACE_HEADER};
use event_store::streams::{FEED, FEED_MAX_AGE};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::feed_fields::{ALWAYS, MAPS, meaning};
use super::{Part, in_channel, messages_of, schema_ref};

/// `{event}.v{version}`, and the text of the file.
pub(super) const GOLDEN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/feed_golden.rs"));
/// The meaning of each event, as in docs/events.md.
const MEANINGS: &str = include_str!("../../../domain/src/events/meanings.txt");
const CHANNEL: &str = "feed";
const DAY_S: u64 = 24 * 60 * 60;

/// A message of FEED in a golden file.
#[derive(Deserialize)]
pub(super) struct Golden {
    pub(super) subject: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Map<String, Value>,
}

impl Golden {
    pub(super) fn read(name: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("the golden file {name} can't be read"))
    }

    /// `aggregate` and `event` of the subject.
    fn event(&self) -> Option<(&str, &str)> {
        self.subject.splitn(3, '.').nth(2)?.split_once('.')
    }
}

pub(super) fn part() -> Result<Part> {
    let mut part = Part::default();
    let (mut aggregates, mut events) = (BTreeSet::new(), BTreeSet::new());
    for (name, text) in GOLDEN {
        let golden = Golden::read(name, text)?;
        let (aggregate, event) =
            golden.event().with_context(|| format!("{} is not a subject of FEED", golden.subject))?;
        aggregates.insert(aggregate.to_owned());
        events.insert(event.to_owned());
        part.messages.insert(format!("feed.{name}"), message(name, aggregate, event, &golden));
    }
    let names: Vec<&str> = part.messages.keys().map(String::as_str).collect();
    part.channels.insert(CHANNEL.to_owned(), channel(&names, &aggregates, &events));
    let operation = json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{CHANNEL}") },
        "messages": in_channel(CHANNEL, &names),
    });
    part.operations.insert("publishEvent".to_owned(), operation);
    part.schemas.insert("FeedHeaders".to_owned(), headers_schema());
    part.schemas.insert("FeedBody".to_owned(), body_schema());
    Ok(part)
}

fn channel(names: &[&str], aggregates: &BTreeSet<String>, events: &BTreeSet<String>) -> Value {
    json!({
        "address": "feed.{tenant}.{aggregate}.{event}",
        "description": format!(
            "Public events as CloudEvents 1.0 in NATS binary mode: attributes are headers, the body is JSON. The subject is the event's name \
             under `feed.{{tenant}}`, for example `feed.acme.campaign.started`; `feed.acme.campaign.>` stands for all of that kind. \
             JetStream stream {FEED}: each event once and in the order of the log, kept {} days.",
            FEED_MAX_AGE.as_secs() / DAY_S,
        ),
        "servers": [{ "$ref": "#/servers/nats" }],
        "parameters": {
            "tenant": { "description": "The tenant of the event.", "examples": ["acme"] },
            "aggregate": { "description": "First half of the event's name.", "enum": aggregates },
            "event": { "description": "Second half of the event's name.", "enum": events },
        },
        "messages": messages_of(names),
    })
}

fn message(name: &str, aggregate: &str, event: &str, golden: &Golden) -> Value {
    let kind = format!("{aggregate}.{event}");
    let fixed = json!({ "properties": { "ce-type": { "const": golden.headers.get("ce-type") } } });
    let mut data = schema_of("data", golden.body.get("data").unwrap_or(&Value::Null));
    // A campaign's event always names the campaign, a firmware's the firmware; other events may.
    let own_id = format!("{aggregate}_id");
    if data["properties"].get(&own_id).is_some() && !ALWAYS.contains(&&*own_id) {
        data["required"] = json!([own_id]);
    }
    json!({
        "name": format!("waybill.{name}"),
        "title": kind,
        "summary": summary(&kind),
        "description": format!("Subject `feed.{{tenant}}.{kind}`."),
        "contentType": "application/json",
        "correlationId": {
            "description": "The same for all events that follow from one request.",
            "location": "$message.payload#/correlation_id",
        },
        "headers": { "allOf": [schema_ref("FeedHeaders"), fixed] },
        "payload": { "allOf": [schema_ref("FeedBody"), { "properties": { "data": data } }] },
        "examples": [{ "headers": golden.headers, "payload": golden.body }],
    })
}

pub(super) fn summary(kind: &str) -> Option<&'static str> {
    MEANINGS.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(": "))
}

fn headers_schema() -> Value {
    let text = |text: &str| json!({ "type": "string", "description": text });
    let mut properties = json!({
        "ce-specversion": { "type": "string", "const": "1.0" },
        "ce-id": text("The event's position in the log, `{sequence}-{index}`: unique, and the same if a message is sent again."),
        "ce-type": text("`waybill.{event}.v{version}`: the version rises when a field is removed or changes its meaning."),
        "ce-source": text("`/waybill/{tenant}`."),
        "ce-subject": text("Id of the device, campaign or firmware."),
        "ce-time": { "type": "string", "format": "date-time", "description": "When the event was recorded. Order is by position, not by time." },
        "content-type": { "type": "string", "const": "application/json" },
    });
    properties[POSITION_HEADER] = text("The same as `ce-id`.");
    let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    properties[TRACE_HEADER] =
        text("W3C trace context of the request that led to the event; absent if no request led to it directly.");
    json!({ "type": "object", "properties": properties, "required": required })
}

fn body_schema() -> Value {
    let id = |text: &str| json!({ "type": "string", "format": "uuid", "description": text });
    let mut causation = id(
        "`command_id` of the record that led to this one; null if its actor started it. That record may be an internal one.",
    );
    causation["type"] = json!(["string", "null"]);
    let mut properties = json!({
        "tenant": { "type": "string" },
        "id": { "type": "string", "description": "Id of the device, campaign or firmware." },
        "version": { "type": "integer", "minimum": 1, "description": "Number of events of the aggregate up to this one, inclusive." },
        "actor": { "type": "string", "description": "Who caused it: an opaque id." },
        "correlation_id": id("The same for all events that follow from one request."),
        "causation_id": causation,
        "data": { "type": "object", "description": "The fields of this event type. Fields that don't apply are absent." },
    });
    let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    properties["causation_position"] = json!({
        "type": "string",
        "description": "Position of that record, `{sequence}-0`. Absent if there is none.",
    });
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The schema of a field, from its example.
pub(super) fn schema_of(name: &str, example: &Value) -> Value {
    let mut schema = match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(text) => string(text),
        Value::Array(items) => {
            json!({ "type": "array", "items": items.first().map_or(json!({}), |item| schema_of("", item)) })
        }
        Value::Object(values) if MAPS.contains(&name) => map(values),
        Value::Object(fields) => object(fields),
    };
    if let Some(text) = meaning(name) {
        schema["description"] = text.into();
    }
    schema
}

fn string(text: &str) -> Value {
    if Uuid::parse_str(text).is_ok() {
        json!({ "type": "string", "format": "uuid" })
    } else if DateTime::parse_from_rfc3339(text).is_ok() {
        json!({ "type": "string", "format": "date-time" })
    } else {
        json!({ "type": "string" })
    }
}

/// An object with names that are data.
fn map(values: &Map<String, Value>) -> Value {
    let types: BTreeSet<&str> = values
        .values()
        .map(|value| match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        })
        .collect();
    json!({ "type": "object", "additionalProperties": { "type": types } })
}

fn object(fields: &Map<String, Value>) -> Value {
    let properties: Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), schema_of(name, value))).collect();
    let required: Vec<_> = ALWAYS.iter().filter(|name| fields.contains_key(**name)).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

//! `waybill asyncapi`: the description of the messages over MQTT and in FEED, as committed in docs/asyncapi.json.
//!
//! Topics come from the bridge's own type for them, commands from its wire types, FEED from the catalogue of events and the golden files of
//! the feed. Only the schemas of messages from devices are written by hand; a test parses their examples with the wire types.
//!
//! Invariant: directions are Waybill's: it sends commands and events, and receives reports.

mod feed;
#[cfg(test)]
mod feed_doc;
mod feed_fields;
mod mqtt;
mod mqtt_commands;
mod mqtt_reports;
#[cfg(test)]
mod tests;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::out;

const ASYNCAPI_VERSION: &str = "3.0.0";
const DESCRIPTION: &str = "Delivers firmware to fleets of IoT devices and records proof of it.\n\n\
    Two interfaces are described here, both as Waybill sees them (it *sends* commands and events, it *receives* reports): the protocol \
    between Waybill and devices over MQTT, and FEED, the public events over NATS. The rules that firmware has to follow are in \
    docs/device-protocol.md. Fields and words (statuses, reasons, causes) may be added at any time; be ready for unknown ones.";

/// Prints it.
pub fn run() -> Result<()> {
    out::line(serde_json::to_string_pretty(&document()?)?)
}

/// One interface: what it adds to each section of the document, by name.
#[derive(Default)]
struct Part {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

/// The whole description.
fn document() -> Result<Value> {
    let mut whole = mqtt::part()?;
    let feed = feed::part()?;
    whole.channels.extend(feed.channels);
    whole.operations.extend(feed.operations);
    whole.messages.extend(feed.messages);
    whole.schemas.extend(feed.schemas);
    Ok(json!({
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "Waybill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": whole.channels,
        "operations": whole.operations,
        "components": { "messages": whole.messages, "schemas": whole.schemas },
    }))
}

fn servers() -> Value {
    let host = json!({ "default": "127.0.0.1", "description": "As in nats.conf." });
    json!({
        "mqtt": {
            "host": "{host}:1883",
            "protocol": "mqtt",
            "protocolVersion": "3.1.1",
            "description": "For devices. In development without credentials and TLS. A client id has no dot, blank, * or > in it.",
            "variables": { "host": host },
        },
        "nats": {
            "host": "{host}:4222",
            "protocol": "nats",
            "description": "For readers of FEED: JetStream domain `waybill`. A program logs in with its tenant as user and an API key as password, and reads the feed of this tenant through its consumers; its inboxes begin with `_INBOX_{tenant}`. User `analyst` reads the feeds of all tenants, and may subscribe to `feed.>`.",
            "variables": { "host": host },
        },
    })
}

/// A reference to one of the named messages.
fn message_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/messages/{name}") })
}

/// A reference to one of the named schemas.
fn schema_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The messages of a channel, each under its own name.
fn messages_of(names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), message_ref(name))).collect()
}

/// References to messages of a channel, for operations.
fn in_channel(channel: &str, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") })).collect()
}

//! Commands to devices. The bridge's own wire types write the examples; a test checks the schemas against them.

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{COMMAND_EXPIRY_MAX_S, COMMAND_NAME_MAX_BYTES};
use domain::firmware::{ENCRYPTION_KEY_ID_MAX_BYTES, ENCRYPTION_SCHEME_MAX_BYTES};
use domain::ids::ORDINAL_MAX;
use domain::values::VERSION_MAX_BYTES;
use mqtt_bridge::command::{COMMAND_MAX_BYTES, COMMAND_TTL_S, RUN_MAX_BYTES, URL_MAX_BYTES};
use mqtt_bridge::wire::{CommandMessage, CommandName, Encryption, Kind, PROTOCOL, RunMessage, Signature};
use serde_json::{Map, Value, json};

use super::schema_ref;

/// When the examples were sent, in seconds since 1970.
const EXAMPLE_SENT_S: i64 = 1_769_860_800;

pub(super) fn messages() -> Map<String, Value> {
    let bound = format!("At most {COMMAND_MAX_BYTES} bytes.");
    let message = |schema: &str, summary: &str, examples: &[CommandMessage]| {
        let examples: Vec<_> = examples.iter().map(|example| json!({ "payload": example })).collect();
        json!({
            "summary": summary,
            "description": bound,
            "contentType": "application/json",
            "payload": schema_ref(schema),
            "examples": examples,
        })
    };
    let none = message("None", "Answers `commands/get` when there is nothing to do; never retained.", &[none()]);
    let cleared = json!({
        "summary": "An empty payload: there is nothing to do. A live subscriber gets it when the retained command is cleared.",
        "contentType": "application/octet-stream",
        "payload": { "type": "string", "maxLength": 0 },
    });
    [
        ("install", message("Install", "Install this firmware.", &[install()])),
        ("cancel", message("Cancel", "Cancel an update.", &[cancel()])),
        ("activate", message("Activate", "Run what is staged.", &[activate()])),
        ("none", none),
        ("cleared", cleared),
        (
            "run",
            json!({
                "summary": "Run this command, once.",
                "description": format!("At most {RUN_MAX_BYTES} bytes."),
                "contentType": "application/json",
                "payload": schema_ref("Run"),
                "examples": [{ "payload": run() }],
            }),
        ),
    ]
    .map(|(name, message)| (name.to_owned(), message))
    .into_iter()
    .collect()
}

pub(super) fn schemas() -> Map<String, Value> {
    [
        ("Install", install_schema()),
        ("Cancel", cancel_schema()),
        ("Activate", activate_schema()),
        ("None", none_schema()),
        ("Run", run_schema()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

/// An object with only required fields.
fn object(properties: Value) -> Value {
    let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn protocol() -> Value {
    json!({ "type": "integer", "const": PROTOCOL, "description": "Version of the protocol." })
}

/// The fields that identify a command, in each of its forms.
fn named(command: &str, mut more: Value) -> Value {
    more["v"] = protocol();
    more["command"] = json!({ "type": "string", "const": command });
    more["seq"] = json!({ "type": "integer", "minimum": 1, "description": "Rises with every change of a device's command; ignore a lower one." });
    more["update_id"] = json!({ "type": "string", "description": "`{device}~{ordinal}`." });
    more["ordinal"] = json!({ "type": "integer", "minimum": 1, "maximum": ORDINAL_MAX, "description": "Number of the update on this device." });
    more["attempt"] = json!({ "type": "integer", "minimum": 1, "description": "The attempt of the update; a higher one means: start over." });
    object(more)
}

fn install_schema() -> Value {
    let instant = |text: &str| json!({ "type": "string", "format": "date-time", "description": text });
    let mut schema = named(
        "ota_update",
        json!({
            "kind": { "type": "string", "enum": ["update", "rollback"] },
            "component": { "type": "string", "description": "The component to replace; `firmware` by default." },
            "firmware_id": { "type": "string", "format": "uuid" },
            "version": { "type": "string", "maxLength": VERSION_MAX_BYTES, "description": "Compared as text with what the device reports." },
            "size": { "type": "integer", "description": "Bytes." },
            "sha256": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
            "url": { "type": "string", "format": "uri", "maxLength": URL_MAX_BYTES, "description": "Valid until `expires_at`; if it is refused, ask with `commands/get`." },
            "signatures": {
                "type": "array",
                "items": object(json!({
                    "scheme": { "type": "string" },
                    "key": { "type": "string" },
                    "sig": { "type": "string" },
                })),
            },
            "activate": { "type": "boolean", "description": "False: install, then stop at `staged`." },
            "report_digest": { "type": "boolean", "description": "True: report `sha256` with `verifying` or `installing`; the update does not leave *verifying* without it. Absent: no." },
            "time": instant("The server's clock."),
            "expires_at": instant("End of the link."),
            "expires_in_s": { "type": "integer", "description": "Seconds until then, for a device without a clock." },
        }),
    );
    schema["properties"]["encryption"] = object(json!({
        "scheme": { "type": "string", "maxLength": ENCRYPTION_SCHEME_MAX_BYTES },
        "key_id": { "type": "string", "maxLength": ENCRYPTION_KEY_ID_MAX_BYTES },
    }));
    schema["properties"]["encryption"]["description"] =
        "How the image is encrypted for the device, as its uploader said; `size` and `sha256` are of the encrypted bytes. Absent: it isn't.".into();
    with_window(&mut schema);
    schema
}

/// Adds the fields of commands that wait for a maintenance window.
fn with_window(schema: &mut Value) {
    let seconds = |least: u8, text: &str| json!({ "type": "integer", "minimum": least, "description": text });
    schema["properties"]["install_within_s"] = seconds(
        0,
        "For how many seconds from the question (`commands/get`) on the device may begin to install or to activate; 0: not now, ask. Absent: at any time.",
    );
    schema["properties"]["opens_in_s"] = seconds(
        1,
        "In answers with `install_within_s` 0: seconds until the maintenance window opens; answer `deferred`.",
    );
}

fn cancel_schema() -> Value {
    named("cancel", json!({}))
}

fn activate_schema() -> Value {
    let mut schema = named("activate", json!({}));
    with_window(&mut schema);
    schema
}

fn none_schema() -> Value {
    object(json!({
        "v": protocol(),
        "command": { "type": "string", "const": "none" },
        "time": { "type": "string", "format": "date-time", "description": "The server's clock." },
    }))
}

fn run_schema() -> Value {
    object(json!({
        "v": protocol(),
        "n": { "type": "integer", "minimum": 1, "maximum": ORDINAL_MAX, "description": "Number of the command on this device; keep it in flash." },
        "name": { "type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": COMMAND_NAME_MAX_BYTES, "description": "`reboot`, `report`, `collect_logs`, or one of the firmware's own. Answer `refused` with `unsupported` to any other." },
        "params": { "type": "object", "description": "For the command; empty if it has none." },
        "expires_in_s": { "type": "integer", "minimum": 0, "maximum": COMMAND_EXPIRY_MAX_S, "description": "Seconds in which to accept it, from when this message was sent. A retained copy may be older." },
        "expires_at": { "type": "string", "format": "date-time", "description": "The same moment, for a device with a clock." },
    }))
}

pub(super) fn run() -> RunMessage {
    let params = json!({ "lines": 200 }).as_object().cloned().unwrap_or_default();
    let (n, name, expires_in_s) = (3, "collect_logs".to_owned(), 3_600);
    RunMessage { v: PROTOCOL, n, name, params, expires_in_s, expires_at: sent_at() + TimeDelta::seconds(expires_in_s) }
}

pub(super) fn install() -> CommandMessage {
    let time = sent_at();
    CommandMessage::Install {
        v: PROTOCOL,
        command: CommandName::OtaUpdate,
        seq: 42,
        update_id: "d-1~17".to_owned(),
        ordinal: 17,
        attempt: 1,
        kind: Kind::Update,
        component: "firmware".to_owned(),
        firmware_id: "0bc86773-8f6b-5691-81a9-f9043c1594ad".to_owned(),
        version: "2.1.0".to_owned(),
        size: 1_048_576,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        url: "https://updates.example.com/d/pJrX0c2eQ".to_owned(),
        signatures: vec![Signature {
            scheme: "waybill-manifest-v1".to_owned(),
            key: "1f2e3d4c".to_owned(),
            sig: "bm90IGEgc2lnbmF0dXJl".to_owned(),
        }],
        encryption: Some(Box::new(Encryption { scheme: "aes-128-ctr".to_owned(), key_id: "fleet-7".to_owned() })),
        activate: true,
        report_digest: true,
        time,
        expires_at: time + TimeDelta::seconds(COMMAND_TTL_S),
        expires_in_s: COMMAND_TTL_S,
        install_within_s: Some(0),
        opens_in_s: Some(5_400),
    }
}

pub(super) fn cancel() -> CommandMessage {
    order(CommandName::Cancel, None, None)
}

pub(super) fn activate() -> CommandMessage {
    order(CommandName::Activate, Some(0), Some(5_400))
}

fn order(command: CommandName, install_within_s: Option<u32>, opens_in_s: Option<u32>) -> CommandMessage {
    let update_id = "d-1~17".to_owned();
    CommandMessage::Order {
        v: PROTOCOL,
        command,
        seq: 43,
        update_id,
        ordinal: 17,
        attempt: 1,
        install_within_s,
        opens_in_s,
    }
}

pub(super) fn none() -> CommandMessage {
    CommandMessage::none(sent_at())
}

fn sent_at() -> DateTime<Utc> {
    DateTime::from_timestamp(EXAMPLE_SENT_S, 0).unwrap_or_default()
}

//! Messages of devices. Schemas and examples are written by hand; a test parses every example, status and code with the bridge's wire
//! types.

use domain::device::CODE_MAX_BYTES;
use domain::ids::ORDINAL_MAX;
use domain::values::{SHORT_TEXT_MAX_CHARS, TAGS_MAX, VERSION_MAX_BYTES};
use mqtt_bridge::wire::{LOG_PIECE_MAX_BYTES, RESULT_MAX_BYTES};
use serde_json::{Map, Value, json};

use super::schema_ref;

/// The statuses that a device may report for an update.
pub(super) const STATUSES: [&str; 12] = [
    "received",
    "deferred",
    "downloading",
    "verifying",
    "installing",
    "staged",
    "rebooting",
    "completed",
    "failed",
    "rejected",
    "cancelled",
    "cancel_refused",
];
/// The protocol's own codes; makers' codes begin with `x_`.
pub(super) const CODES: [&str; 16] = [
    "no_space",
    "busy",
    "low_battery",
    "user_postponed",
    "download_failed",
    "url_expired",
    "digest_mismatch",
    "install_failed",
    "boot_failed",
    "health_check_failed",
    "version_regressed",
    "signature_invalid",
    "unsupported",
    "wrong_model",
    "downgrade_refused",
    "standby_mismatch",
];

pub(super) fn messages() -> Map<String, Value> {
    let asks = "Asks for the command. The payload doesn't matter.";
    [
        ("commandsGet", message(asks, json!({ "description": "Any payload; usually an empty object." }), &[json!({})])),
        ("report", message("Progress of an update.", schema_ref("Report"), &report_examples())),
        ("runReport", message("How a command is going.", schema_ref("RunReport"), &run_report_examples())),
        (
            "log",
            json!({
                "summary": "A piece of a log.",
                "contentType": "text/plain",
                "payload": { "type": "string", "minLength": 1, "maxLength": LOG_PIECE_MAX_BYTES },
            }),
        ),
        ("presence", message("Presence and proof.", schema_ref("Presence"), &presence_examples())),
        ("info", message("Description of the device.", schema_ref("Info"), &info_examples())),
        ("telemetry", message("Measurements.", schema_ref("Telemetry"), &telemetry_examples())),
    ]
    .map(|(name, message)| (name.to_owned(), message))
    .into_iter()
    .collect()
}

pub(super) fn schemas() -> Map<String, Value> {
    [
        ("RunReport", run_report()),
        ("Report", report()),
        ("Presence", presence()),
        ("Info", info()),
        ("Telemetry", telemetry()),
        ("Code", code()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

fn message(summary: &str, payload: Value, examples: &[Value]) -> Value {
    let examples: Vec<_> = examples.iter().map(|example| json!({ "payload": example })).collect();
    json!({ "summary": summary, "contentType": "application/json", "payload": payload, "examples": examples })
}

pub(super) fn report_examples() -> Vec<Value> {
    vec![
        json!({ "attempt": 1, "status": "received" }),
        json!({ "attempt": 1, "status": "downloading", "progress": 40, "bytes": 419_430 }),
        json!({ "attempt": 1, "status": "deferred", "code": "low_battery", "retry_after_s": 3_600 }),
        json!({ "attempt": 2, "status": "failed", "code": "digest_mismatch", "message": "after 1048576 bytes", "ts": 1_769_860_900 }),
    ]
}

pub(super) fn run_report_examples() -> Vec<Value> {
    vec![
        json!({ "status": "accepted" }),
        json!({ "status": "done", "message": "200 lines", "result": { "lines": 200 } }),
        json!({ "status": "refused", "code": "unsupported" }),
        json!({ "status": "failed", "code": "x_flash_worn", "message": "sector 7" }),
    ]
}

fn run_report() -> Value {
    json!({
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": { "type": "string", "enum": ["accepted", "done", "failed", "refused"] },
            "code": schema_ref("Code"),
            "message": { "type": "string", "description": "Cut to 256 characters." },
            "result": { "type": "object", "description": format!("At most {RESULT_MAX_BYTES} bytes; a larger one is left out.") },
        },
    })
}

pub(super) fn presence_examples() -> Vec<Value> {
    vec![
        json!({
            "status": "online", "session": "9f3c", "boot_id": "77", "firmware_version": "2.1.0", "trial": false, "battery_level": 81,
            "last_update": { "ordinal": 17, "attempt": 1, "status": "completed" },
        }),
        json!({ "status": "online", "session": 4_242, "boot_id": 78, "versions": { "firmware": "2.1.0", "radio": "1.4" }, "slot": "b" }),
        json!({ "status": "offline", "session": "9f3c" }),
    ]
}

pub(super) fn info_examples() -> Vec<Value> {
    vec![json!({
        "protocol": 1, "versions": { "firmware": "2.1.0" }, "hardware_version": "B", "slots": 2, "contact_interval_s": 0,
        "attributes": { "ram_kb": 512, "region": "eu" },
    })]
}

pub(super) fn telemetry_examples() -> Vec<Value> {
    vec![json!({ "ts": "2026-01-31T12:00:00Z", "temperature_c": 21.5 })]
}

fn code() -> Value {
    let own = "Why: one of the protocol's codes, or the maker's own. Any other code is stored as `x_unknown`, with its text before the message.";
    json!({
        "type": "string",
        "maxLength": CODE_MAX_BYTES,
        "description": own,
        "anyOf": [{ "enum": CODES }, { "pattern": "^x_[a-z0-9_]+$" }],
    })
}

fn instant() -> Value {
    json!({ "type": ["string", "number"], "description": "The device's clock: RFC 3339, or seconds or milliseconds since 1970." })
}

fn versions() -> Value {
    json!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": VERSION_MAX_BYTES },
        "description": "Running version, per component.",
    })
}

fn firmware_version() -> Value {
    json!({ "type": "string", "maxLength": VERSION_MAX_BYTES, "description": "The same as `versions.firmware`." })
}

fn mark(text: &str) -> Value {
    json!({ "type": ["string", "number"], "maxLength": 64, "description": text })
}

fn report() -> Value {
    json!({
        "type": "object",
        "required": ["attempt", "status"],
        "properties": {
            "attempt": { "type": "integer", "minimum": 0, "maximum": u16::MAX, "description": "As in the command." },
            "status": {
                "type": "string",
                "enum": STATUSES,
                "description": "`completed` is only a claim: `status` after the reboot confirms the update. Statuses of older firmware are accepted, too: `complete`, `installed`, `preparing`, `in_progress`, `applying`.",
            },
            "progress": { "type": "number", "minimum": 0, "maximum": 100, "description": "Per cent of the current phase." },
            "bytes": { "type": "integer", "minimum": 0, "description": "Received so far." },
            "sha256": { "type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "Of the received bytes." },
            "code": schema_ref("Code"),
            "message": { "type": "string", "description": "Cut to 256 characters. Must not contain personal data." },
            "retry_after_s": { "type": "integer", "minimum": 0, "description": "With `deferred`. A further report sets another time, longer or shorter." },
            "ts": instant(),
        },
    })
}

fn presence() -> Value {
    json!({
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": { "type": "string", "enum": ["online", "offline"], "description": "`offline` in the last will." },
            "session": mark("New for each connection; the will of an older session is ignored."),
            "boot_id": mark("New after each boot: an update is confirmed when it differs from the one at `received`."),
            "firmware_version": firmware_version(),
            "versions": versions(),
            "trial": { "type": "boolean", "description": "True until the running image is marked good." },
            "slot": mark("The boot slot that runs."),
            "battery_level": { "type": "number", "minimum": 0, "maximum": 100, "description": "Per cent." },
            "signal_strength": { "type": "number", "minimum": -200, "maximum": 50, "description": "dBm." },
            "external_power": { "type": "boolean" },
            "last_update": {
                "type": "object",
                "required": ["ordinal", "attempt", "status"],
                "description": "The last status of an update that the device knows, in case a report was lost. It replaces that report and has no other effect: `deferred` here begins no deferral.",
                "properties": {
                    "ordinal": { "type": "integer", "minimum": 1, "maximum": ORDINAL_MAX },
                    "attempt": { "type": "integer", "minimum": 0, "maximum": u16::MAX },
                    "status": { "type": "string", "enum": STATUSES },
                    "code": schema_ref("Code"),
                    "sha256": { "type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "Of the received bytes; if the command has `report_digest`." },
                },
            },
        },
    })
}

fn info() -> Value {
    json!({
        "type": "object",
        "description": "`protocol`, `transports`, `max_payload`, `redirects` and `signature_schemes` are reserved.",
        "properties": {
            "protocol": { "type": "integer" },
            "versions": versions(),
            "firmware_version": firmware_version(),
            "hardware_version": { "type": "string", "maxLength": SHORT_TEXT_MAX_CHARS },
            "slots": { "type": "integer", "minimum": 1, "maximum": 8, "description": "Boot slots." },
            "contact_interval_s": { "type": "integer", "minimum": 0, "maximum": 31 * 24 * 3_600, "description": "How long the device may be silent." },
            "attributes": {
                "type": "object",
                "maxProperties": TAGS_MAX,
                "additionalProperties": { "type": ["string", "number", "boolean"] },
                "description": "Stored as text.",
            },
        },
    })
}

fn telemetry() -> Value {
    json!({ "type": "object", "properties": { "ts": instant() }, "additionalProperties": true })
}

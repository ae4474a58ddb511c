//! Shapes that several events share. The names are those of the public feed, not those of the domain's types.

use domain::campaign::Evidence;
use domain::device::FirmwareSnapshot;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Version of every form so far.
pub(super) const V1: u16 = 1;

/// The text of an enum as the domain writes it. Golden files detect changes.
pub(super) fn word(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// An object without the fields that are null.
pub(super) fn object(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// The public part of a firmware.
pub(super) fn firmware(snapshot: &FirmwareSnapshot) -> Value {
    json!({
        "firmware_id": snapshot.firmware_id,
        "device_model": snapshot.device_model,
        "component": snapshot.component,
        "version": snapshot.version,
        "size": snapshot.size,
        "sha256": snapshot.sha256.to_string(),
    })
}

/// The evidence of a gate.
pub(super) fn evidence(evidence: &Evidence) -> Value {
    object(json!({
        "position": evidence.position,
        "enrolled": evidence.enrolled,
        "reached": evidence.reached,
        "settled": evidence.settled,
        "confirmed": evidence.confirmed,
        "failed": evidence.failed,
        "staged": (evidence.staged > 0).then_some(evidence.staged),
        "devices": evidence.devices,
    }))
}

//! Decides which records may have changed a device's command.

use domain::DeviceId;
use event_store::{RawRecord, Record};
use serde::Deserialize;

use super::DeviceRef;

/// The aggregate that commands come from.
const DEVICE: &str = "device";
/// Events that never change the command. `update.accepted` is not one of them: a device that continues by itself, after a deferral or a
/// command that was taken back, has a command again.
const WITHOUT_EFFECT: [&str; 6] = [
    "update.queued",
    "update.downloading",
    "update.verifying",
    "update.installing",
    "update.rebooting",
    "update.reported_late",
];

/// The device whose command a record may have changed. Damaged records are not hints: loading the device will report them.
pub(super) fn hint(raw: &RawRecord) -> Option<DeviceRef> {
    if raw.key.kind != DEVICE {
        return None;
    }
    let record = Record::decode(raw.position, &raw.body).ok()?;
    let matters = record.events.iter().any(|stored| matters(stored.event.get()));
    let device = DeviceId::new(raw.key.id.clone()).ok()?;
    matters.then(|| DeviceRef { tenant: raw.key.tenant.clone(), device })
}

fn matters(event: &str) -> bool {
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(borrow, rename = "type")]
        name: std::borrow::Cow<'a, str>,
    }
    let Ok(Tag { name }) = serde_json::from_str(event) else { return false };
    let of_command = name.starts_with("update.") || name == "device.decommissioned" || name == "device.recommissioned";
    of_command && !WITHOUT_EFFECT.contains(&name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::matters;

    #[test]
    fn only_what_can_change_a_command_is_a_hint() {
        assert!(matters(r#"{"type":"update.dispatched","update":{"ordinal":1,"attempt":1}}"#));
        assert!(matters(r#"{"type":"update.some_day_new"}"#));
        assert!(matters(r#"{"type":"device.decommissioned"}"#));
        for other in [r#"{"type":"update.downloading"}"#, r#"{"type":"device.came_online"}"#, "{}", "[]"] {
            assert!(!matters(other), "{other}");
        }
    }
}

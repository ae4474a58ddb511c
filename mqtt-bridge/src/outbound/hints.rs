//! Decides which records may have changed a device's command.

use domain::device::DeviceEvent;
use domain::events::CampaignEvent;
use domain::{CampaignId, DeviceId};
use event_store::{RawRecord, Record, StoredEvent};

use crate::device_ref::DeviceRef;
use crate::event_name::name_of;

/// The aggregate that commands come from.
const DEVICE: &str = "device";
/// The aggregate whose windows decide when devices may install.
const CAMPAIGN: &str = "campaign";
/// The aggregate that is frozen and unfrozen.
const TENANT: &str = "tenant";
/// The aggregate that has the signatures and documents. The rules of the tenant may ask for them.
const FIRMWARE: &str = "firmware";
const ADJUSTED: &str = "campaign.adjusted";
/// Events after which the firmware may go out, or may not any more.
const OF_RULES: [&str; 3] = ["firmware.signed", "firmware.document_added", "firmware.document_removed"];
const AMENDED: &str = "device.amended";
/// Beginnings of the names of events that may change the command, or whether the device can get one.
const BEGINNINGS: [&str; 5] =
    ["update.", "command.", "device.decommissioned", "device.recommissioned", "device.network_synced"];
/// Events that never change the command. `update.accepted` is not one of them: a device that continues by itself, after a deferral or a
/// command that was taken back, has a command again.
const WITHOUT_EFFECT: [&str; 8] = [
    "update.queued",
    "update.downloading",
    "update.verifying",
    "update.installing",
    "update.rebooting",
    "update.reported_late",
    "command.queued",
    "command.reported_late",
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

/// The campaign whose maintenance windows a record has changed while it runs, for all of its devices.
pub(super) fn with_other_windows(raw: &RawRecord) -> Option<CampaignId> {
    if raw.key.kind != CAMPAIGN {
        return None;
    }
    let record = Record::decode(raw.position, &raw.body).ok()?;
    let is_changed = record.events.iter().any(|stored| changes_windows(stored.event.get()));
    raw.key.id.parse().ok().filter(|_| is_changed).map(CampaignId)
}

/// Whether a record is of a tenant: it may have frozen or unfrozen the tenant, or changed its trusted keys.
pub(super) fn is_of_tenant(raw: &RawRecord) -> bool {
    raw.key.kind == TENANT
}

/// Whether a record has changed the signatures or documents of a firmware.
pub(super) fn is_of_rules(raw: &RawRecord) -> bool {
    let changes = |stored: &StoredEvent| name_of(stored.event.get()).is_some_and(|name| OF_RULES.contains(&&*name));
    raw.key.kind == FIRMWARE
        && Record::decode(raw.position, &raw.body).is_ok_and(|record| record.events.iter().any(changes))
}

fn changes_windows(event: &str) -> bool {
    if name_of(event).as_deref() != Some(ADJUSTED) {
        return false;
    }
    match serde_json::from_str(event) {
        Ok(CampaignEvent::Adjusted { changes, .. }) => !changes.maintenance_window.is_keep(),
        // Of a later version.
        Ok(_) | Err(_) => true,
    }
}

fn matters(event: &str) -> bool {
    let Some(name) = name_of(event) else { return false };
    match &*name {
        AMENDED => changes_transport(event),
        name => BEGINNINGS.iter().any(|begin| name.starts_with(begin)) && !WITHOUT_EFFECT.contains(&name),
    }
}

/// The transport follows the EUI.
fn changes_transport(event: &str) -> bool {
    match serde_json::from_str(event) {
        Ok(DeviceEvent::Amended { patch, .. }) => !patch.lorawan_dev_eui.is_keep(),
        // Of a later version.
        Ok(_) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{changes_windows, matters};

    #[test]
    fn only_other_windows_of_a_campaign_concern_its_devices() {
        assert!(changes_windows(
            r#"{"type":"campaign.adjusted","changes":{"maintenance_window":null,"soak_minutes":5}}"#
        ));
        let window = r#"[{"days":["friday"],"start":"22:00","duration_minutes":60,"timezone":"UTC"}]"#;
        let set = format!(r#"{{"type":"campaign.adjusted","changes":{{"maintenance_window":{window}}}}}"#);
        assert!(changes_windows(&set));
        for other in [r#"{"type":"campaign.adjusted","changes":{"soak_minutes":5}}"#, r#"{"type":"campaign.started"}"#]
        {
            assert!(!changes_windows(other), "{other}");
        }
    }

    #[test]
    fn only_what_can_change_a_command_is_a_hint() {
        assert!(matters(r#"{"type":"update.dispatched","update":{"ordinal":1,"attempt":1}}"#));
        assert!(matters(r#"{"type":"update.some_day_new"}"#));
        assert!(matters(r#"{"type":"device.decommissioned"}"#));
        assert!(matters(r#"{"type":"device.amended","patch":{"lorawan_dev_eui":null}}"#));
        assert!(!matters(r#"{"type":"device.amended","patch":{"device_type":"t"}}"#));
        assert!(matters(r#"{"type":"command.sent","n":1}"#) && !matters(r#"{"type":"command.queued","n":1}"#));
        for other in [r#"{"type":"update.downloading"}"#, r#"{"type":"device.came_online"}"#, "{}", "[]"] {
            assert!(!matters(other), "{other}");
        }
    }
}

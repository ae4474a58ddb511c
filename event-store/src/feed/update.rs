//! Public form of updates. Free text from devices is not public.

use domain::device::{DeviceEvent, UpdateRef, UpdateSpec};
use serde_json::{Value, json};

use super::data::{firmware, object, word};

/// The public part of an event of an update; `None` for other events.
pub(super) fn public(device: &str, event: &DeviceEvent) -> Option<Value> {
    let update = event.update()?;
    let mut data = object(details(event));
    data["device_id"] = device.into();
    data["update_id"] = format!("{device}~{}", update.ordinal).into();
    data["attempt"] = update.attempt.into();
    if let UpdateRef { campaign: Some(campaign), .. } = update {
        data["campaign_id"] = campaign.to_string().into();
    }
    Some(data)
}

fn details(event: &DeviceEvent) -> Value {
    use DeviceEvent as E;
    match event {
        E::UpdateQueued { spec, .. } => queued(spec),
        E::UpdateWaiting { reason, .. } => json!({ "reason": word(reason) }),
        E::UpdateDeferred { code, until, .. } => json!({ "code": code, "until": until }),
        E::UpdateAttemptFailed { code, class, retry_at, .. } => {
            json!({ "code": code, "class": word(class), "retry_at": retry_at })
        }
        E::UpdateConfirmed { component, version, .. } => json!({ "component": component, "version": version }),
        E::UpdateFailed { code, class, .. } => json!({ "code": code, "class": word(class) }),
        E::UpdateTimedOut { phase, code, .. } => json!({ "phase": phase, "code": code }),
        E::UpdateRejected { code, .. } => json!({ "code": code }),
        E::UpdateSuperseded { reason, .. } => json!({ "reason": reason }),
        E::UpdateCancelling { reason, .. } | E::UpdateCancelled { reason, .. } => json!({ "reason": reason }),
        E::UpdateStaged { reason, retry_at, .. } => {
            json!({ "reason": reason.as_ref().map(word), "retry_at": retry_at })
        }
        E::UpdateDigestReported { sha256, .. } => json!({ "sha256": sha256.to_string() }),
        E::UpdateDigestMissing { reported, .. } => json!({ "status": reported.as_ref().map(word) }),
        E::UpdateReportedLate { status, .. } => json!({ "status": status }),
        E::VersionRegressed { component, from_version, to_version, .. } => {
            json!({ "component": component, "from_version": from_version, "to_version": to_version })
        }
        E::UpdateDispatched { .. }
        | E::UpdateAccepted { .. }
        | E::UpdateDownloading { .. }
        | E::UpdateVerifying { .. }
        | E::UpdateInstalling { .. }
        | E::UpdateActivating { .. }
        | E::UpdateRebooting { .. }
        | E::UpdateSessionSeen { .. }
        | E::UpdateExpired { .. }
        | E::UpdateCancelRefused { .. } => json!({}),
        E::Registered { .. }
        | E::Recommissioned { .. }
        | E::Amended { .. }
        | E::Decommissioned { .. }
        | E::Held { .. }
        | E::Released { .. }
        | E::CredentialIssued { .. }
        | E::CredentialRevoked { .. }
        | E::CameOnline { .. }
        | E::WentOffline { .. }
        | E::InfoReported { .. }
        | E::VersionsReported { .. }
        | E::ReportedLate { .. }
        | E::CommandQueued { .. }
        | E::CommandSent { .. }
        | E::CommandAccepted { .. }
        | E::CommandDone { .. }
        | E::CommandFailed { .. }
        | E::CommandRefused { .. }
        | E::CommandExpired { .. }
        | E::CommandCancelled { .. }
        | E::CommandReportedLate { .. }
        | E::NetworkSyncRequested {}
        | E::NetworkSynced { .. }
        | E::NetworkSyncFailed { .. }
        | E::NetworkRemoved { .. }
        | E::NetworkChanged { .. }
        | E::LorawanKeysSet { .. }
        | E::LorawanKeysRemoved {} => Value::Null,
    }
}

fn queued(spec: &UpdateSpec) -> Value {
    json!({
        "firmware": firmware(&spec.firmware),
        "wave": spec.campaign.map(|campaign| campaign.wave),
        "kind": word(&spec.kind),
        "priority": word(&spec.priority),
        "from_version": spec.from_version,
        "transport": word(&spec.transport),
    })
}

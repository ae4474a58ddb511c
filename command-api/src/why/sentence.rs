//! Events as short sentences.

use serde_json::Value;

/// What happened by an event. An event without a sentence of its own is named by its type.
pub(super) fn of_event(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or_default();
    let text = |field: &str| shown(&event[field]);
    let firmware = || shown(&event["spec"]["firmware"]["version"]);
    let attempt = || shown(&event["update"]["attempt"]);
    match kind {
        "campaign.started" => "the campaign was started".to_owned(),
        "campaign.scheduled" => "the start of the campaign was scheduled".to_owned(),
        "campaign.approved" => "the campaign was approved".to_owned(),
        "campaign.planning_started" => "the campaign was to be started, and its plan was begun".to_owned(),
        "campaign.planned" => "the plan of the campaign was made".to_owned(),
        "campaign.wave_opened" => format!("wave {} was opened", text("wave")),
        "campaign.resumed" => "the campaign was resumed".to_owned(),
        "campaign.retried" => "the failed devices of the campaign were to be tried again".to_owned(),
        "campaign.rolling_back" => "the campaign was to be rolled back".to_owned(),
        "campaign.gate_closed" => format!("the {} gate closed", text("gate")),
        "campaign.gate_passed" => format!("the gate of wave {} passed", text("wave")),
        "campaign.wave_completed" => format!("wave {} was completed", text("wave")),
        "slots.granted" => "the campaign gave the device a slot".to_owned(),
        "device.registered" => "the device was registered".to_owned(),
        "device.recommissioned" => "the device was put into service again".to_owned(),
        "device.amended" => "the data of the device were changed".to_owned(),
        "device.came_online" => "the device came online".to_owned(),
        "device.versions_reported" => format!("the device reported {}", versions(&event["versions"])),
        "device.version_regressed" => {
            format!("the device fell back from {} to {} by itself", text("from_version"), text("to_version"))
        }
        "update.queued" => match event["spec"]["kind"].as_str() {
            Some("rollback") => format!("a rollback to {} was queued", firmware()),
            _ => format!("an update to {} was queued", firmware()),
        },
        "update.waiting" => format!("the update waited: {}", text("reason")),
        "update.dispatched" => format!("attempt {} was sent to the device", attempt()),
        "update.accepted" => "the device accepted the update".to_owned(),
        "update.deferred" => format!("the device deferred the update until {}", text("until")),
        "update.downloading" => "the device downloaded".to_owned(),
        "update.verifying" => "the device verified what it had received".to_owned(),
        "update.installing" => "the device installed".to_owned(),
        "update.staged" => "the new version was in the standby slot".to_owned(),
        "update.activating" => "the device was told to activate the new version".to_owned(),
        "update.rebooting" => "the device restarted".to_owned(),
        "update.attempt_failed" => format!("attempt {} failed with {}, another one followed", attempt(), text("code")),
        "update.confirmed" => format!("the update was confirmed: the device runs {}", text("version")),
        "update.failed" => format!("the update failed with {}", text("code")),
        "update.timed_out" => format!("the update timed out in {}", text("phase")),
        "update.rejected" => format!("the device rejected the update with {}", text("code")),
        "update.expired" => "the device didn't come in time".to_owned(),
        "update.superseded" => format!("the update was superseded: {}", text("reason")),
        "update.cancelling" => "the update was to be cancelled".to_owned(),
        "update.cancelled" => "the update was cancelled".to_owned(),
        other => other.replace(['.', '_'], " "),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn versions(value: &Value) -> String {
    let all =
        value.as_object().into_iter().flatten().map(|(component, version)| format!("{component} {}", shown(version)));
    let all = all.collect::<Vec<_>>().join(", ");
    if all.is_empty() { "a new boot".to_owned() } else { all }
}

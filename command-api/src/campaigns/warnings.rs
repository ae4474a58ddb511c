//! Warnings in replies about an accepted campaign.

use std::collections::BTreeMap;

use domain::campaign::{Advance, CampaignSpec, PlanSummary};
use domain::device::FirmwareSnapshot;

/// Warnings about the specification. `firmware`: as the campaign installs it, if that is known.
pub(super) fn warnings(
    spec: &CampaignSpec,
    plan: Option<&PlanSummary>,
    firmware: Option<&FirmwareSnapshot>,
) -> Vec<String> {
    let holds_nothing =
        "advance: manual on the last wave has no effect: it applies after its wave, before the next one opens";
    // With blue/green `manual` on the first wave also delays the activation of that wave itself.
    let holds_activation = spec.stages() && spec.waves.len() == 1;
    let manual_last = !holds_activation && spec.waves.last().is_some_and(|wave| wave.advance == Advance::Manual);
    let stays = "auto_rollback has no effect: the firmware has rollback_allowed: false, so a closed gate only pauses the campaign";
    let cannot_go_back = spec.auto_rollback && firmware.is_some_and(|firmware| !firmware.rollback_allowed);
    let of_spec = [manual_last.then_some(holds_nothing), cannot_go_back.then_some(stays)];
    of_spec.into_iter().flatten().map(str::to_owned).chain(plan.and_then(no_devices)).collect()
}

/// Why no device takes part; none if any does.
fn no_devices(summary: &PlanSummary) -> Option<String> {
    if summary.devices > 0 {
        return None;
    }
    let excluded: BTreeMap<&str, u32> =
        summary.excluded.iter().map(|(reason, count)| (reason.word(), *count)).collect();
    if excluded.is_empty() {
        return Some("no device takes part: none matches the targets".to_owned());
    }
    let reasons: Vec<String> = excluded.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    Some(format!("no device takes part: {}", reasons.join(", ")))
}

//! Warnings in replies about an accepted campaign.

use std::collections::BTreeMap;

use domain::campaign::{Advance, CampaignSpec, PlanSummary};

/// Warnings about the specification.
pub(super) fn warnings(spec: &CampaignSpec, plan: Option<&PlanSummary>) -> Vec<String> {
    let holds_nothing =
        "advance: manual on the last wave has no effect: it applies after its wave, before the next one opens";
    // With blue/green `manual` on the first wave also delays the activation of that wave itself.
    let holds_activation = spec.stages() && spec.waves.len() == 1;
    let manual_last = !holds_activation && spec.waves.last().is_some_and(|wave| wave.advance == Advance::Manual);
    manual_last.then_some(holds_nothing).into_iter().map(str::to_owned).chain(plan.and_then(no_devices)).collect()
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

//! Tells operators that a gate has closed, with a line of the log and a counter.

use domain::campaign::{Evidence, GateKind};
use projections::rollout::WorkRow;

/// Logs which gate closed, the measured value and the limit.
pub(crate) fn tell(row: &WorkRow, gate: GateKind, wave: Option<u16>, threshold_percent: u8, evidence: &Evidence) {
    let word = word(gate);
    metrics::counter!("waybill_gates_closed_total", "gate" => word).increment(1);
    let (measured_percent, bound) = measured(gate, wave, evidence);
    tracing::warn!(
        campaign.id = %row.campaign,
        tenant.id = %row.tenant,
        gate = word,
        wave,
        measured_percent,
        limit_percent = threshold_percent,
        limit = bound,
        enrolled = evidence.enrolled,
        reached = evidence.reached,
        settled = evidence.settled,
        confirmed = evidence.confirmed,
        failed = evidence.failed,
        position = evidence.position,
        "A gate closed and stopped its campaign: with auto_rollback its devices go back, otherwise an operator must decide how to continue."
    );
}

fn word(gate: GateKind) -> &'static str {
    match gate {
        GateKind::Failure => "failure",
        GateKind::Success => "success",
        GateKind::TooFewReached => "too_few_reached",
        GateKind::Rollback => "rollback",
    }
}

/// The percentage that is compared with the limit, and whether the limit is a maximum or a minimum.
fn measured(gate: GateKind, wave: Option<u16>, evidence: &Evidence) -> (u32, &'static str) {
    match gate {
        GateKind::Failure => (percent(evidence.failed, evidence.settled), "at most"),
        GateKind::Rollback => (percent(evidence.failed, evidence.settled), "below"),
        // Without a wave it is the gate of the staging.
        GateKind::Success if wave.is_none() => {
            (percent(evidence.confirmed + evidence.staged, evidence.settled), "at least")
        }
        GateKind::Success => (percent(evidence.confirmed, evidence.settled), "at least"),
        GateKind::TooFewReached => (percent(evidence.reached, evidence.enrolled), "at least"),
    }
}

fn percent(part: u32, whole: u32) -> u32 {
    u32::try_from(u64::from(part) * 100 / u64::from(whole.max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gate_is_told_with_what_it_measures() {
        let evidence = Evidence {
            position: 9,
            enrolled: 50,
            reached: 40,
            settled: 20,
            confirmed: 14,
            failed: 6,
            staged: 0,
            devices: vec![],
        };
        let measured = |gate| measured(gate, Some(1), &evidence);
        assert_eq!(measured(GateKind::Failure), (30, "at most"));
        assert_eq!(measured(GateKind::Success), (70, "at least"));
        assert_eq!(measured(GateKind::TooFewReached), (80, "at least"));
        assert_eq!(percent(3, 0), 300);
    }
}

//! Tells operators that a gate has closed, with a line of the log and a counter.

use domain::campaign::GateResult;
use projections::rollout::WorkRow;

/// Logs which gate closed, the measured value and the limit.
pub(crate) fn tell(row: &WorkRow, result: &GateResult) {
    let (gate, evidence) = (result.gate.word(), &result.evidence);
    metrics::counter!("waybill_gates_closed_total", "gate" => gate).increment(1);
    tracing::warn!(
        campaign.id = %row.campaign,
        tenant.id = %row.tenant,
        gate,
        wave = result.wave,
        measured_percent = result.measured_percent(),
        limit_percent = result.limit_percent,
        limit = result.bound().word(),
        enrolled = evidence.enrolled,
        reached = evidence.reached,
        settled = evidence.settled,
        confirmed = evidence.confirmed,
        failed = evidence.failed,
        position = evidence.position,
        "A gate closed and stopped its campaign: with auto_rollback its devices go back, otherwise an operator must decide how to continue."
    );
}

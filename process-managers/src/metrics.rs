//! The process managers' metrics, described.

use event_store::metering::{self, Metric, PLAIN};

/// Describes them to the recorder of this process.
pub fn describe() {
    metering::describe(&METRICS);
}

const METRICS: [Metric; 5] = [
    Metric::Counter(
        "waybill_process_manager_errors_total",
        "Runs of a process manager that failed and are repeated; `aggregate`: failed commands to one aggregate.",
        &[
            &[("process_manager", "rollout")],
            &[("process_manager", "planner")],
            &[("process_manager", "deadlines")],
            &[("process_manager", "preconditions")],
            &[("process_manager", "withdrawals")],
            &[("process_manager", "presence")],
            &[("process_manager", "network")],
            &[("process_manager", "fuota")],
            &[("process_manager", "aggregate")],
        ],
    ),
    Metric::Counter(
        "waybill_network_syncs_total",
        "Copies of devices in network servers that were written or removed, refused, found changed, or are tried again because the server broke or was away.",
        &[
            &[("outcome", "synced")],
            &[("outcome", "removed")],
            &[("outcome", "failed")],
            &[("outcome", "drifted")],
            &[("outcome", "broken")],
            &[("outcome", "away")],
        ],
    ),
    Metric::Counter("waybill_slots_granted_total", "Slots of campaigns granted to devices.", PLAIN),
    Metric::Counter(
        "waybill_gates_closed_total",
        "Gates that closed and paused their campaign.",
        &[&[("gate", "failure")], &[("gate", "success")], &[("gate", "too_few_reached")]],
    ),
    Metric::Gauge(
        "waybill_hearing_lag_seconds",
        "How far the watermark of devices lags the clock; clocks of updates stand still above 60.",
        &[],
    ),
];

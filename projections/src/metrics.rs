//! Descriptions of the projections' metrics.

use event_store::metering::{self, Labels, Metric, PLAIN};

/// Describes them to the recorder of this process.
pub fn describe() {
    metering::describe(&METRICS);
}

const KINDS: &[Labels] = &[&[("kind", "update")], &[("kind", "rollback")]];

const ENDS: &[Labels] = &[
    &[("kind", "update"), ("outcome", "confirmed")],
    &[("kind", "update"), ("outcome", "failed")],
    &[("kind", "update"), ("outcome", "timed_out")],
    &[("kind", "update"), ("outcome", "rejected")],
    &[("kind", "update"), ("outcome", "expired")],
    &[("kind", "update"), ("outcome", "superseded")],
    &[("kind", "update"), ("outcome", "cancelled")],
    &[("kind", "rollback"), ("outcome", "confirmed")],
    &[("kind", "rollback"), ("outcome", "failed")],
    &[("kind", "rollback"), ("outcome", "timed_out")],
    &[("kind", "rollback"), ("outcome", "rejected")],
    &[("kind", "rollback"), ("outcome", "expired")],
    &[("kind", "rollback"), ("outcome", "superseded")],
    &[("kind", "rollback"), ("outcome", "cancelled")],
];

const METRICS: [Metric; 13] = [
    Metric::Counter("waybill_updates_requested_total", "Updates and rollbacks that were requested.", KINDS),
    Metric::Counter("waybill_updates_ended_total", "Updates and rollbacks that have ended, by outcome.", ENDS),
    Metric::Counter("waybill_update_retries_total", "Attempts beyond the first of an update or a rollback.", KINDS),
    Metric::Counter(
        "waybill_updates_regressed_total",
        "Confirmed updates whose devices fell back by themselves.",
        PLAIN,
    ),
    Metric::Histogram("waybill_update_phase_seconds", "How long updates stayed in a phase that they left."),
    Metric::Histogram(
        "waybill_update_seconds",
        "Time of an update from the device's first answer to its confirmation, without the time in which it could not go on.",
    ),
    Metric::Counter("waybill_projection_records_total", "Records applied to a read model by this process.", &[]),
    Metric::Counter(
        "waybill_telemetry_skipped_total",
        "Messages of TELEMETRY that could not be applied and were left out.",
        PLAIN,
    ),
    Metric::Gauge(
        "waybill_projection_lag_positions",
        "Positions between the end of the log and the position of a read model.",
        &[],
    ),
    Metric::Gauge(
        "waybill_projection_parked_aggregates",
        "Aggregates that a read model could not apply and has parked.",
        &[],
    ),
    Metric::Gauge("waybill_devices", "Devices of all tenants that aren't decommissioned, by reachability.", &[]),
    Metric::Gauge(
        "waybill_updates_in_flight",
        "Devices of all tenants with an update that has begun and not ended.",
        &[],
    ),
    Metric::Gauge("waybill_campaigns", "Campaigns of all tenants, by status.", &[]),
];

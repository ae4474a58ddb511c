//! Descriptions of the projections' metrics.

use event_store::metering::{self, Metric, PLAIN};

/// Describes them to the recorder of this process.
pub fn describe() {
    metering::describe(&METRICS);
}

const METRICS: [Metric; 7] = [
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

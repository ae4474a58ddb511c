//! Descriptions of metrics, declared by each crate: a sentence for each metric, and the series that exist from the start, so that an alarm
//! on an increase sees the first one.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

/// Labels of a series, from a closed set.
pub type Labels = &'static [(&'static str, &'static str)];

/// A metric and what it means.
pub enum Metric {
    /// Only grows. With the series that are 0 from the start.
    Counter(&'static str, &'static str, &'static [Labels]),
    /// Goes up and down. With the series that are 0 from the start.
    Gauge(&'static str, &'static str, &'static [Labels]),
    /// Observations in buckets.
    Histogram(&'static str, &'static str),
}

/// The one series of a metric without labels.
pub const PLAIN: &[Labels] = &[&[]];

/// Describes metrics to the recorder of this process.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match *metric {
            Metric::Counter(name, help, series) => {
                describe_counter!(name, help);
                series.iter().for_each(|labels| counter!(name, *labels).increment(0));
            }
            Metric::Gauge(name, help, series) => {
                describe_gauge!(name, help);
                series.iter().for_each(|labels| gauge!(name, *labels).set(0.0));
            }
            Metric::Histogram(name, help) => describe_histogram!(name, help),
        }
    }
}

/// Describes the metrics of the event log. Every process has the metrics of commands.
pub fn describe_own() {
    describe(&METRICS);
}

const AGGREGATES: &[Labels] = &[
    &[("aggregate", "device")],
    &[("aggregate", "firmware")],
    &[("aggregate", "campaign")],
    &[("aggregate", "campaign_plan")],
    &[("aggregate", "rollout_ledger")],
    &[("aggregate", "claim")],
    &[("aggregate", "group")],
    &[("aggregate", "registration_token")],
    &[("aggregate", "api_key")],
    &[("aggregate", "fuota_deployment")],
    &[("aggregate", "lorawan_profile")],
];

const METRICS: [Metric; 6] = [
    Metric::Counter("waybill_commands_total", "Commands by type of aggregate and outcome.", &[]),
    Metric::Histogram(
        "waybill_command_seconds",
        "Time of a command from its arrival to its outcome, by type of aggregate.",
    ),
    Metric::Counter(
        "waybill_append_conflicts_total",
        "Commands that were decided again because another command had written to the aggregate.",
        AGGREGATES,
    ),
    Metric::Counter(
        "waybill_stray_messages_total",
        "Messages in a stream of Waybill that were written by another program and skipped.",
        &[&[("stream", "EVENTS")], &[("stream", "TELEMETRY")]],
    ),
    Metric::Counter(
        "waybill_feed_interruptions_total",
        "Times that forwarding to FEED was interrupted and began again.",
        PLAIN,
    ),
    Metric::Gauge("waybill_feed_position", "Position of the event that was forwarded to FEED last.", &[]),
];

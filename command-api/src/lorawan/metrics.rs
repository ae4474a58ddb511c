//! Webhooks by kind and outcome.

use event_store::metering::{self, Metric};

const WEBHOOKS: &str = "waybill_network_webhooks_total";

const METRICS: [Metric; 1] = [Metric::Counter(
    WEBHOOKS,
    "Webhooks of network servers by outcome: stored, or why not (unsigned, bad_signature, full, unavailable).",
    &[
        &[("outcome", STORED)],
        &[("outcome", UNSIGNED)],
        &[("outcome", BAD_SIGNATURE)],
        &[("outcome", FULL)],
        &[("outcome", UNAVAILABLE)],
    ],
)];

pub(super) const STORED: &str = "stored";
pub(super) const UNSIGNED: &str = "unsigned";
pub(super) const BAD_SIGNATURE: &str = "bad_signature";
pub(super) const FULL: &str = "full";
pub(super) const UNAVAILABLE: &str = "unavailable";

pub(crate) fn describe() {
    metering::describe(&METRICS);
}

pub(super) fn count(outcome: &'static str) {
    ::metrics::counter!(WEBHOOKS, "outcome" => outcome).increment(1);
}

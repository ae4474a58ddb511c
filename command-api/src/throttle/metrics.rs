//! Requests that were refused.

use event_store::metering::{self, Metric};

const REFUSED: &str = "waybill_http_requests_throttled_total";

const METRICS: [Metric; 1] = [Metric::Counter(
    REFUSED,
    "Requests that were refused because of a rate limit, by what has sent too many: tenant, credential or address.",
    &[&[("by", "tenant")], &[("by", "credential")], &[("by", "address")]],
)];

pub(crate) fn describe() {
    metering::describe(&METRICS);
}

pub(super) fn refused(by: &'static str) {
    metrics::counter!(REFUSED, "by" => by).increment(1);
}

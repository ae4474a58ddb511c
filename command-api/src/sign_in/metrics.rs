//! How sign-ins end.

use event_store::metering::{self, Metric};

use crate::http::Problem;

const SIGN_INS: &str = "waybill_sign_ins_total";
const SIGNED_IN: &str = "signed_in";
/// Everything else: wrong parameters, no provider is set up, the service has failed.
const OTHER: &str = "other";
/// The codes of the problems by which a sign-in ends, beside these two.
const REFUSALS: [&str; 12] = [
    "sign_in_failed",
    "sign_in_refused",
    "issuer_differs",
    "id_token_invalid",
    "no_role",
    "several_tenants",
    "too_many_sessions",
    "tenant_unknown",
    "tenant_suspended",
    "tenant_closed",
    "provider_unavailable",
    "sessions_unavailable",
];

const METRICS: [Metric; 1] = [Metric::Counter(
    SIGN_INS,
    "Sign-ins of people at the OpenID provider that have ended, by outcome: signed_in, or the code of the problem.",
    &[],
)];

pub(crate) fn describe() {
    metering::describe(&METRICS);
    for outcome in REFUSALS.into_iter().chain([SIGNED_IN, OTHER]) {
        metrics::counter!(SIGN_INS, "outcome" => outcome).increment(0);
    }
}

pub(super) fn signed_in() {
    metrics::counter!(SIGN_INS, "outcome" => SIGNED_IN).increment(1);
}

pub(super) fn refused(problem: &Problem) {
    let outcome = REFUSALS.into_iter().find(|code| *code == problem.code()).unwrap_or(OTHER);
    metrics::counter!(SIGN_INS, "outcome" => outcome).increment(1);
}

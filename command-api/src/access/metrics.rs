//! How long it takes until a request may go to its handler.

use std::time::Duration;

use axum::http::request::Parts;
use event_store::metering::{self, Metric};

use crate::auth;
use crate::sign_in;
use crate::state::App;

const ADMISSION: &str = "waybill_http_admission_seconds";

const METRICS: [Metric; 1] = [Metric::Histogram(
    ADMISSION,
    "Time in which it is found out who has sent a request, and whether they may, of requests that were let through; by credential: api_key, token or session.",
)];

pub(crate) fn describe() {
    metering::describe(&METRICS);
}

/// The kind of credential that a request shows.
pub(super) fn credential(app: &App, parts: &Parts) -> &'static str {
    if !auth::has_header(parts) && sign_in::shows_session(app, parts) {
        return "session";
    }
    if auth::shows_api_key(parts) { "api_key" } else { "token" }
}

pub(super) fn admitted(credential: &'static str, took: Duration) {
    metrics::histogram!(ADMISSION, "credential" => credential).record(took);
}

//! The problems for a firmware store that fails.

use axum::http::StatusCode;
use firmware_store::{is_altered, keys_error};

use crate::http::Problem;
use crate::state::App;

/// The problem for a store that fails. It names the store. What is wrong with sealed firmware has problems of its own.
pub(crate) fn broken_store(app: &App) -> impl Fn(object_store::Error) -> Problem + '_ {
    |error| {
        if let Some(reason) = keys_error(&error) {
            tracing::error!(%reason, "There is no key for sealed firmware.");
            let detail = "the key under which the firmware is sealed can't be had; see the runbook";
            return Problem::unavailable("firmware_keys_unavailable", detail);
        }
        if is_altered(&error) {
            metrics::counter!("waybill_firmware_bytes_differ_total").increment(1);
            tracing::error!(%error, "Sealed firmware was changed in its store: it isn't given out.");
            return bytes_differ();
        }
        let store = app.firmware_store.name();
        tracing::error!(store, %error, "The firmware store failed.");
        Problem::unavailable("firmware_store_unavailable", format!("the firmware store {store} is not available"))
    }
}

/// The problem for bytes that aren't those of the upload.
pub(crate) fn bytes_differ() -> Problem {
    let detail = "the stored bytes are not those that were uploaded: they are not given out; see the runbook";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "firmware_bytes_differ", detail)
}

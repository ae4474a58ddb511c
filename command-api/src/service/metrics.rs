//! `/metrics`, in the text format of Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use event_store::metering::{self, Metric, PLAIN};
use projections::census::census;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::process;
use crate::http::Problem;
use crate::state::App;
use crate::{access, device_registrations, listen, live, lorawan, sign_in, throttle};

/// Devices and campaigns are counted at most once in this time.
const CENSUS_INTERVAL: Duration = Duration::from_secs(15);
/// Longest wait for the counts; after it the last ones are kept.
const CENSUS_TIMEOUT: Duration = Duration::from_secs(2);

/// When devices and campaigns were last counted.
pub(crate) type Counted = Mutex<Option<Instant>>;

/// Describes the metrics of the API to the recorder of this process.
pub fn describe() {
    metering::describe(&METRICS);
    access::metrics::describe();
    device_registrations::describe();
    listen::describe();
    live::describe();
    lorawan::describe();
    sign_in::metrics::describe();
    throttle::metrics::describe();
}

const METRICS: [Metric; 7] = [
    Metric::Counter("waybill_http_requests_total", "Requests by method, route and status.", &[]),
    Metric::Histogram(
        "waybill_http_request_seconds",
        "Time of a request up to the head of its reply, by method and route.",
    ),
    Metric::Counter("waybill_downloads_started_total", "Downloads of firmware that began.", PLAIN),
    Metric::Counter("waybill_downloads_completed_total", "Downloads of firmware whose last byte was sent.", PLAIN),
    Metric::Counter("waybill_download_bytes_total", "Bytes of firmware sent.", PLAIN),
    Metric::Counter(
        "waybill_downloads_uncounted_total",
        "Downloads that are missing in the counts of their firmware.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_firmware_bytes_differ_total",
        "Stored firmware that was read and isn't what was uploaded.",
        PLAIN,
    ),
];

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn render_metrics(State(app): State<App>) -> Result<Response, Problem> {
    let handle = app.metrics.as_ref().ok_or_else(|| Problem::not_found("this process keeps no metrics"))?;
    // Reading the statuses refreshes the gauges of the projections' lag.
    app.projections.status().await?;
    count(&app).await;
    let text = handle.render() + &process::metrics();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// Refreshes the gauges of devices and campaigns when they are due.
async fn count(app: &App) {
    let mut counted = app.counted.lock().await;
    if counted.is_some_and(|at| at.elapsed() < CENSUS_INTERVAL) {
        return;
    }
    match timeout(CENSUS_TIMEOUT, census(&app.db)).await {
        Ok(Ok(census)) => {
            census.show();
            *counted = Some(Instant::now());
        }
        Ok(Err(error)) => tracing::debug!(%error, "devices and campaigns can't be counted now"),
        Err(_) => tracing::debug!("devices and campaigns can't be counted in time"),
    }
}

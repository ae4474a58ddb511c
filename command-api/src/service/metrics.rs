//! `/metrics`, in the text format of Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::http::Problem;
use crate::state::App;

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service", security(()),
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn render_metrics(State(app): State<App>) -> Result<Response, Problem> {
    let handle = app.metrics.as_ref().ok_or_else(|| Problem::not_found("this process keeps no metrics"))?;
    // Looking refreshes the gauges of the projections' lag.
    app.projections.status().await?;
    let text = handle.render();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

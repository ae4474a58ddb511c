//! `GET /service/stats`: name, version, features.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::App;

/// Features of this version.
const CAPABILITIES: [&str; 11] = [
    "devices",
    "devices.bulk",
    "devices.history",
    "devices.telemetry",
    "firmware",
    "firmware.ranges",
    "updates",
    "campaigns.immediate",
    "campaigns.staged",
    "campaigns.canary",
    "statistics",
];

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceStats {
    name: &'static str,
    version: &'static str,
    /// More may be added.
    capabilities: Vec<&'static str>,
    uptime_s: u64,
}

/// About the service
#[utoipa::path(
    get, path = "/service/stats", tag = "service", responses((status = 200, body = ServiceStats))
)]
pub(crate) async fn service_stats(State(app): State<App>) -> Json<ServiceStats> {
    Json(ServiceStats {
        name: "waybill",
        version: env!("CARGO_PKG_VERSION"),
        capabilities: CAPABILITIES.to_vec(),
        uptime_s: app.uptime().as_secs(),
    })
}

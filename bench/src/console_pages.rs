//! What the pages of the console ask for. A page is as slow as its slowest request, because it sends all of them at once.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report::{Measurement, Report, percentile};
use crate::service::Service;

/// Requests of each kind.
const SAMPLES: usize = 20;
/// Placeholders in the paths: a campaign over all devices, and a device that has been through its update.
const CAMPAIGN: &str = "{campaign}";
const DEVICE: &str = "{device}";
/// The requests, with a short name of each.
const REQUESTS: [(&str, &str); 26] = [
    ("stats", "/stats"),
    ("stats_versions", "/stats/versions"),
    ("version_series", "/stats/versions/series"),
    ("campaigns", "/campaigns?limit=50"),
    ("campaign", "/campaigns/{campaign}"),
    ("campaign_status", "/campaigns/{campaign}/status"),
    ("campaign_gates", "/campaigns/{campaign}/gates"),
    ("campaign_failures", "/campaigns/{campaign}/failures"),
    ("campaign_devices", "/campaigns/{campaign}/devices?limit=50"),
    ("campaign_history", "/campaigns/{campaign}/history?limit=50"),
    ("devices", "/devices?limit=50"),
    ("devices_by_prefix", "/devices?q=d-00&limit=50"),
    ("devices_by_model", "/devices?device_model=SF-2024-Pro&firmware_version=2.0.0&limit=50"),
    ("devices_online", "/devices?status=online&limit=50"),
    ("device", "/devices/{device}"),
    ("device_why", "/devices/{device}/why"),
    ("device_updates", "/devices/{device}/updates"),
    ("device_history", "/devices/{device}/history"),
    ("firmware_history", "/devices/{device}/firmware-history"),
    ("updates", "/updates?limit=50"),
    ("firmware", "/firmware?limit=50"),
    ("groups", "/groups?limit=50"),
    ("audit", "/audit?limit=50"),
    ("audit_oldest", "/audit?limit=50&order=asc"),
    ("audit_facets", "/audit/facets"),
    ("search", "/search?q=d-0000"),
];

/// Measures each request, one after the other.
pub(crate) async fn run(
    service: &Service,
    devices: usize,
    campaign: &str,
    device: &str,
    report: &mut Report,
) -> Result<()> {
    let mut slowest = Duration::ZERO;
    for (name, path) in REQUESTS {
        let path = path.replace(CAMPAIGN, campaign).replace(DEVICE, device);
        let mut times = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let began = Instant::now();
            service.api.get(&path).await?;
            times.push(began.elapsed());
        }
        times.sort();
        let p95 = percentile(&times, 95.0);
        slowest = slowest.max(p95);
        report.add(Measurement::time(format!("console.{name}.p95"), p95).devices(devices));
    }
    report.add(Measurement::time("console.slowest.p95", slowest).devices(devices));
    Ok(())
}

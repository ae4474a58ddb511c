//! The metrics of a process: the recorder, and a description of each.

use std::time::Duration;

use event_store::metering::{self, Metric};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use runtime::lifecycle::Tasks;

use crate::config::Role;

/// How often the histograms are aggregated; observations in between are stored one by one.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Bounds of the buckets of times, in seconds: from a command on a fast disk to the longest request.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The same for finding out who has sent a request, which is mostly arithmetic.
const ADMISSION_SECONDS: [f64; 14] =
    [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0, 10.0];
/// The same for updates and their phases: from an instant simulated device to one that is reached once a week.
const UPDATE_SECONDS: [f64; 14] =
    [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0, 604_800.0];
const UPDATES: [&str; 2] = ["waybill_update_seconds", "waybill_update_phase_seconds"];
const ADMISSION: &str = "waybill_http_admission_seconds";
/// Bounds of the buckets of sizes, in bytes.
const BYTES: [f64; 8] = [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 16_777_216.0];
/// The commit of the build, if the builder gives it.
const COMMIT: Option<&str> = option_env!("WAYBILL_COMMIT");

/// The recorder of the process's metrics; none if one is installed already.
pub(crate) fn start(role: Role, tasks: &Tasks) -> Option<PrometheusHandle> {
    let handle = builder()?.install_recorder().ok()?;
    describe(role);
    let (kept, stop) = (handle.clone(), tasks.token().clone());
    tasks.spawn("metrics upkeep", async move {
        let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            kept.run_upkeep();
        }
    });
    Some(handle)
}

/// Histograms with the same buckets in every process, so that they can be added up.
fn builder() -> Option<PrometheusBuilder> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        // The whole name counts before the end of one.
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(ADMISSION.to_owned()), &ADMISSION_SECONDS))
        .and_then(|builder| {
            let matchers = UPDATES.map(|name| Matcher::Full(name.to_owned()));
            matchers
                .into_iter()
                .try_fold(builder, |builder, name| builder.set_buckets_for_metric(name, &UPDATE_SECONDS))
        })
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES))
        .ok()
}

/// Describes the metrics of the parts that run in this process.
fn describe(role: Role) {
    metering::describe_own();
    metering::describe(&[Metric::Gauge("waybill_build_info", "Always 1; the labels say what was built.", &[])]);
    metrics::gauge!("waybill_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => COMMIT.unwrap_or("unknown"))
        .set(1.0);
    command_api::describe_metrics();
    projections::metrics::describe();
    if role.runs(Role::ProcessManagers) {
        process_managers::metrics::describe();
    }
    if role.runs(Role::Bridge) {
        mqtt_bridge::metrics::describe();
    }
}

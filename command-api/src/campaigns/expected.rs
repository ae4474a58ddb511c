//! How long a campaign is expected to take, in replies: from measured updates where there are enough, else from an assumption. The reply
//! says which.

use std::time::Duration;

use domain::TenantId;
use domain::campaign::{Advance, CampaignSpec};
use domain::device::FirmwareSnapshot;
use domain::per_transport::PerTransport;
use domain::rollout::{
    ASSUMED_ACTIVATION_S, ASSUMED_DOWNLOAD_BYTES_PER_S, ASSUMED_INSTALL_S, WaveEstimate, assumed_update_seconds,
};
use projections::rollout::{UpdateTimes, update_times};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Problem;
use crate::state::App;

/// Confirmed updates from which their average is used.
const MEASURED_MIN: u64 = 10;

/// How long a campaign is expected to take.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExpectedDuration {
    /// From the start to the end of the last soak.
    seconds: u64,
    /// Of one update, from the device's first answer to the confirmation.
    average_update_seconds: f64,
    /// Where that average comes from: `firmware` (confirmed updates of campaigns with this firmware), `tenant` (of campaigns with other
    /// firmware), or `assumption`.
    basis: &'static str,
    /// Confirmed updates that were measured.
    measured_updates: u64,
    /// What must hold for the estimate.
    assumes: Vec<String>,
}

/// Seconds of one update, and where they come from.
pub(super) struct Average {
    pub(super) seconds: f64,
    basis: &'static str,
    measured: u64,
}

impl Average {
    /// With the time that an image takes to LoRaWAN devices, if that is known: nobody's download is as slow.
    pub(super) fn with_lorawan(&self, image_s: Option<u64>) -> PerTransport<f64> {
        let lorawan = image_s.map_or(self.seconds, |seconds| seconds as f64 + ASSUMED_INSTALL_S as f64);
        PerTransport { mqtt: self.seconds, lorawan }
    }
}

/// The average of the firmware's own updates, or of all updates, or an assumption.
pub(super) async fn average_update(
    app: &App,
    tenant: &TenantId,
    firmware: &FirmwareSnapshot,
) -> Result<Average, Problem> {
    let mut tx = app.db.read(tenant).await?;
    let own = update_times(&mut tx, Some(&firmware.firmware_id)).await?;
    if let Some(average) = measured(own, "firmware") {
        return Ok(average);
    }
    let any = update_times(&mut tx, None).await?;
    let assumed = || Average { seconds: assumed_update_seconds(firmware.size), basis: "assumption", measured: 0 };
    Ok(measured(any, "tenant").unwrap_or_else(assumed))
}

fn measured(times: UpdateTimes, basis: &'static str) -> Option<Average> {
    let seconds = times.average_seconds().filter(|_| times.confirmed >= MEASURED_MIN)?;
    Some(Average { seconds, basis, measured: times.confirmed })
}

impl ExpectedDuration {
    pub(super) fn of(
        spec: &CampaignSpec,
        staging: Option<Duration>,
        waves: &[WaveEstimate],
        average: &Average,
    ) -> Self {
        let staging = staging.map_or(0, |staging| staging.as_secs());
        let seconds = staging + waves.iter().map(|wave| (wave.updating + wave.soak).as_secs()).sum::<u64>();
        let average_update_seconds = (average.seconds * 10.0).round() / 10.0;
        let (basis, measured_updates) = (average.basis, average.measured);
        Self { seconds, average_update_seconds, basis, measured_updates, assumes: assumes(spec, basis) }
    }
}

fn assumes(spec: &CampaignSpec, basis: &str) -> Vec<String> {
    let mut assumes = vec!["every device is online and free when its turn comes, and no attempt fails".to_owned()];
    if basis == "assumption" {
        assumes.push(format!(
            "an update takes {ASSUMED_INSTALL_S} seconds and its download at {ASSUMED_DOWNLOAD_BYTES_PER_S} bytes per second: \
             fewer than {MEASURED_MIN} updates of campaigns were confirmed so far"
        ));
    }
    let (before_last, _) = spec.waves.split_at(spec.waves.len().saturating_sub(1));
    if before_last.iter().any(|wave| wave.advance == Advance::Manual) {
        assumes.push("an operator opens each wave that waits for one at once".to_owned());
    }
    if spec.stages() {
        assumes.push(format!(
            "before the first wave all devices stage, and each takes at most {ASSUMED_ACTIVATION_S} seconds to activate"
        ));
    }
    if !spec.maintenance_window.is_empty() {
        assumes.push("every maintenance window is open: a closed one adds its time".to_owned());
    }
    assumes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_measured_updates_are_no_basis() {
        let times = |confirmed| UpdateTimes { confirmed, milliseconds: confirmed * 1_500 };
        assert!(measured(times(0), "firmware").is_none() && measured(times(9), "firmware").is_none());
        let average = measured(times(10), "firmware").unwrap();
        assert_eq!((average.seconds, average.basis, average.measured), (1.5, "firmware", 10));
    }
}

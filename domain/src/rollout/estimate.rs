//! How long a campaign is expected to take, before it begins. It is a forecast: every device is online, its maintenance windows are open, no
//! attempt fails, and nobody waits for an operator.

use std::time::Duration;

use crate::campaign::CampaignSpec;
use crate::ledger::GRANT_DEVICES_MAX;
use crate::per_transport::{PACED, PerTransport};
use crate::values::Transport;

/// Time between two batches: a campaign is looked at once a second.
const BATCH_INTERVAL_S: f64 = 1.0;
const SECONDS_PER_MINUTE: f64 = 60.0;
/// Longest estimate: a century. It keeps the numbers printable.
const ESTIMATE_MAX_S: f64 = 100.0 * 365.0 * 24.0 * 3_600.0;

/// Download rate that is assumed where nothing was measured, in bytes per second.
pub const ASSUMED_DOWNLOAD_BYTES_PER_S: u64 = 50_000;
/// Time for verifying, installing and restarting that is assumed where nothing was measured, in seconds.
pub const ASSUMED_INSTALL_S: u64 = 180;

/// Time to activate a staged version, in seconds: a restart.
pub const ASSUMED_ACTIVATION_S: f64 = 60.0;

/// Seconds that one update is assumed to take where nothing was measured.
pub fn assumed_update_seconds(firmware_bytes: u64) -> f64 {
    (ASSUMED_INSTALL_S + firmware_bytes.div_ceil(ASSUMED_DOWNLOAD_BYTES_PER_S)) as f64
}

/// What limits the pace of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceLimit {
    /// One update's own time: all of its devices begin at once.
    Update,
    Slots,
    Rate,
    Batch,
    Jitter,
}

impl PaceLimit {
    pub fn word(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Slots => "slots",
            Self::Rate => "rate",
            Self::Batch => "batch",
            Self::Jitter => "jitter",
        }
    }
}

/// What is expected of one wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveEstimate {
    /// From its opening until its last device is confirmed.
    pub updating: Duration,
    pub soak: Duration,
    pub limited_by: PaceLimit,
}

impl CampaignSpec {
    /// What is expected of each wave, with this many devices of each transport in each, and this many seconds for one update of each
    /// transport. In blue/green the devices of a wave only activate what they have staged.
    pub fn estimate(&self, waves: &[PerTransport<u32>], update_seconds: PerTransport<f64>) -> Vec<WaveEstimate> {
        let of_stage = |seconds: f64| if self.stages() { seconds.min(ASSUMED_ACTIVATION_S) } else { seconds };
        let seconds = PerTransport::each(|transport| of_stage(*update_seconds.of(transport)));
        (1..).zip(waves).map(|(number, devices)| self.estimate_wave(number, *devices, seconds)).collect()
    }

    /// What is expected of the staging of all devices, before the first wave; none without blue/green.
    pub fn estimate_staging(&self, waves: &[PerTransport<u32>], update_seconds: PerTransport<f64>) -> Option<Duration> {
        let devices = PerTransport::each(|transport| waves.iter().map(|wave| *wave.of(transport)).sum());
        self.stages().then(|| self.estimate_wave(0, devices, update_seconds).updating)
    }

    /// The transports go on beside each other: the slower one counts.
    fn estimate_wave(&self, number: u16, devices: PerTransport<u32>, seconds: PerTransport<f64>) -> WaveEstimate {
        let soak = Duration::from_secs(u64::from(self.soak_minutes(number)) * 60);
        let of_transport =
            |transport: Transport| self.estimate_transport(transport, *devices.of(transport), *seconds.of(transport));
        let slower = PACED
            .into_iter()
            .map(of_transport)
            .fold((PaceLimit::Update, 0.0), |slower, next| if next.1 > slower.1 { next } else { slower });
        WaveEstimate { updating: Duration::from_secs(slower.1.ceil() as u64), soak, limited_by: slower.0 }
    }

    /// Seconds until the last device of a transport is confirmed, and what limits its pace.
    fn estimate_transport(&self, transport: Transport, devices: u32, update_seconds: f64) -> (PaceLimit, f64) {
        if devices == 0 {
            return (PaceLimit::Update, 0.0);
        }
        let pace = self.pace(transport);
        let rounds = devices.div_ceil(pace.max_concurrent_updates.max(1));
        let batches = devices.div_ceil(pace.batch_size.unwrap_or(u32::MAX).clamp(1, GRANT_DEVICES_MAX as u32));
        let paced = devices.saturating_sub(pace.burst());
        let by_rate = pace.rate_per_minute.map(|rate| f64::from(paced) * SECONDS_PER_MINUTE / f64::from(rate.max(1)));
        let spread = self.jitter().as_seconds_f64() * f64::from(devices - 1) / f64::from(devices);
        // When the last device begins, by each limit.
        let begins = [
            (PaceLimit::Slots, f64::from(rounds - 1) * update_seconds),
            (PaceLimit::Rate, by_rate.unwrap_or(0.0)),
            (PaceLimit::Batch, f64::from(batches - 1) * BATCH_INTERVAL_S),
            (PaceLimit::Jitter, spread),
        ];
        let latest = begins
            .into_iter()
            .fold((PaceLimit::Update, 0.0), |latest, next| if next.1 > latest.1 { next } else { latest });
        (latest.0, (latest.1 + update_seconds).clamp(0.0, ESTIMATE_MAX_S))
    }
}

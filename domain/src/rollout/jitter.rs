//! Jitter: the devices of a wave begin spread over `jitter_seconds` after its opening, so that they don't load everything at once.
//!
//! A device's delay follows from its place in its wave, and so from sha256(seed ‖ device id): it is the same in every replay, and the devices
//! are evenly distributed. A device isn't ready before its delay is over, so it takes no slot.

use chrono::{DateTime, TimeDelta, Utc};

use super::RolloutView;
use crate::campaign::CampaignSpec;

impl CampaignSpec {
    /// The time over which the devices of a wave begin; zero without jitter.
    pub fn jitter(&self) -> TimeDelta {
        TimeDelta::seconds(self.jitter_seconds.unwrap_or(0).into())
    }

    /// How many of a wave's devices may have begun by now: its first ones in the campaign's order. The device at place `i` of `n` may begin
    /// after `i / n` of the jitter. None when all may begin.
    pub fn begun_by_jitter(&self, devices: u32, opened_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<u32> {
        let (jitter_ms, elapsed_ms) = (self.jitter().num_milliseconds(), (now - opened_at).num_milliseconds().max(0));
        if elapsed_ms >= jitter_ms {
            return None;
        }
        let before = i128::from(devices) * i128::from(elapsed_ms) / i128::from(jitter_ms);
        Some(u32::try_from(before + 1).unwrap_or(u32::MAX).min(devices))
    }
}

impl RolloutView {
    /// The end of the jitter of the open wave, while it lasts.
    pub(super) fn jitter_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let spread = self.wave_opened_at.filter(|_| self.spec.jitter() > TimeDelta::zero());
        spread.map(|opened_at| opened_at + self.spec.jitter()).filter(|until| *until > now)
    }

    /// When the wait of the open wave for its devices began: after the jitter.
    pub(super) fn wave_waits_from(&self) -> Option<DateTime<Utc>> {
        self.wave_opened_at.map(|opened_at| self.waits_from(opened_at + self.spec.jitter()))
    }
}

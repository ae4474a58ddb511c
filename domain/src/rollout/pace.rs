//! The rate limit: `rate_per_minute` with a burst, as a generic cell rate algorithm.
//!
//! The state is one time. Each granted device moves it forward by the interval between two devices, starting from now at the earliest. At
//! most a burst of devices may be granted before their intervals are over. The time follows from events alone, so every replay computes the
//! same one.

use chrono::{DateTime, TimeDelta, Utc};

use crate::campaign::{CampaignSpec, Pace};
use crate::per_transport::PerTransport;
use crate::values::Transport;

/// The interval of one device times the rate, in microseconds.
const MINUTE_US: i128 = 60_000_000;
const SECONDS_PER_MINUTE: u32 = 60;

/// End of the rate intervals of the devices granted so far, of each transport.
pub type PacedUntil = PerTransport<Option<DateTime<Utc>>>;

impl CampaignSpec {
    /// The same after a grant of `devices` more of each transport.
    pub fn paced_until(&self, before: PacedUntil, at: DateTime<Utc>, devices: PerTransport<usize>) -> PacedUntil {
        let after = |transport: Transport| {
            let (before, devices) = (*before.of(transport), *devices.of(transport));
            let pace = self.pace(transport);
            if devices == 0 {
                before.filter(|_| pace.rate_per_minute.is_some())
            } else {
                pace.paced_until(before, at, devices)
            }
        };
        PerTransport::each(after)
    }

    /// After a change of limits.
    pub fn paced_again(&self, new: &Self, before: PacedUntil, at: DateTime<Utc>) -> PacedUntil {
        PerTransport::each(|transport| self.pace(transport).paced_again(new.pace(transport), *before.of(transport), at))
    }
}

impl Pace {
    /// Devices that a limited rate lets begin at once after a pause: one batch, or, without a batch size, the devices of one second.
    pub fn burst(self) -> u32 {
        let in_a_second = self.rate_per_minute.map_or(1, |rate| (rate / SECONDS_PER_MINUTE).max(1));
        self.batch_size.unwrap_or(in_a_second)
    }

    /// End of the rate intervals of all granted devices, after a grant of `devices` more. None if the rate is not limited.
    fn paced_until(self, before: Option<DateTime<Utc>>, at: DateTime<Utc>, devices: usize) -> Option<DateTime<Utc>> {
        let rate = self.rate_per_minute?;
        Some(before.map_or(at, |before| before.max(at)) + span(devices as i128 * MINUTE_US, rate))
    }

    /// The same after a change of rate or burst: devices whose intervals are not over get the new interval, and count at most as the new
    /// burst.
    fn paced_again(self, new: Self, before: Option<DateTime<Utc>>, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (rate, new_rate) = (self.rate_per_minute?, new.rate_per_minute?);
        let in_advance = (advance_us(before?, at) * i128::from(rate)).min(i128::from(new.burst()) * MINUTE_US);
        Some(at + span(in_advance, new_rate))
    }

    /// Devices that the rate lets begin now.
    pub(super) fn paced(self, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> u32 {
        let Some(rate) = self.rate_per_minute else { return u32::MAX };
        let in_advance = until.map_or(0, |until| advance_us(until, now)) * i128::from(rate);
        let free = (i128::from(self.burst()) * MINUTE_US - in_advance).max(0) / MINUTE_US;
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// When the rate lets the next device begin.
    pub(super) fn next_paced(self, until: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let rate = i128::from(self.rate_per_minute?.max(1));
        let ahead = (i128::from(self.burst()) - 1).max(0) * MINUTE_US / rate;
        Some(until? - TimeDelta::microseconds(i64::try_from(ahead).unwrap_or(i64::MAX)))
    }
}

fn advance_us(until: DateTime<Utc>, now: DateTime<Utc>) -> i128 {
    i128::from((until - now).num_microseconds().unwrap_or(i64::MAX)).max(0)
}

/// Duration of `taken` at a rate. Rounded up, so that the rate is never exceeded.
fn span(taken: i128, rate: u32) -> TimeDelta {
    let rate = i128::from(rate.max(1));
    TimeDelta::microseconds(i64::try_from((taken + rate - 1) / rate).unwrap_or(i64::MAX))
}

//! Commands that a device should have answered by now: sent again, each time after a longer wait.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::DeviceRef;

/// First wait for an answer; doubles up to the longest.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(600);
/// Commands whose answer is waited for. Beyond that the sweep has to do.
const WAITING_MAX: usize = 200_000;

#[derive(Default)]
pub(super) struct Retries {
    due: BTreeMap<(Instant, u64), DeviceRef>,
    count: u64,
}

impl Retries {
    /// Looks at the device again if it has not answered in time. `sent` counts how often this command was sent.
    pub(super) fn expect_answer(&mut self, device: DeviceRef, sent: u32, now: Instant) {
        if self.due.len() < WAITING_MAX {
            let wait = ANSWER_WAIT.saturating_mul(1 << sent.saturating_sub(1).min(8)).min(ANSWER_WAIT_MAX);
            self.count += 1;
            self.due.insert((now + wait, self.count), device);
        }
    }

    /// The next device whose time is over.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<DeviceRef> {
        Some(self.due.first_entry().filter(|first| first.key().0 <= now)?.remove())
    }
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, TenantId};

    use super::*;

    #[tokio::test]
    async fn each_wait_is_longer() {
        let device = DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d").unwrap() };
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.expect_answer(device.clone(), 1, now);
        retries.expect_answer(device.clone(), 2, now);
        assert_eq!(retries.take_due(now + Duration::from_secs(29)), None);
        assert_eq!(retries.take_due(now + Duration::from_secs(31)), Some(device));
        assert_eq!(retries.take_due(now + Duration::from_secs(59)), None);
        assert!(retries.take_due(now + Duration::from_secs(60)).is_some());
    }
}

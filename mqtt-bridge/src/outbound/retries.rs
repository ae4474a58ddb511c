//! Repeats commands that a device has not answered, each time after a longer wait.
//!
//! Invariant: [`Retries::followed`] never passes a record whose command may have to be repeated within [`ANSWER_WAIT_MAX`], so that the next
//! owner finds it. A sweep of the next owner finds the others.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::deliver::Sent;
use super::pending::NO_POSITION;
use crate::device_ref::DeviceRef;
use crate::topics::Channel;

/// First wait for an answer; doubles up to the longest.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(600);
/// Most commands whose answer is awaited. Commands above that are sent once: the retained copy, and the device's own `commands/get` after
/// each connect, are then enough.
const WAITING_MAX: usize = 200_000;

/// A device that has not answered yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Awaited {
    pub(super) device: DeviceRef,
    /// The topic of the unanswered command.
    pub(super) channel: Channel,
    /// Oldest record that its command follows from; [`NO_POSITION`] if a sweep finds the device.
    pub(super) from: u64,
}

#[derive(Default)]
pub(super) struct Retries {
    due: BTreeMap<(Instant, u64), Awaited>,
    count: u64,
}

impl Retries {
    /// Schedules the device again, in case it does not answer in time.
    pub(super) fn expect_answer(&mut self, mut awaited: Awaited, sent: Sent, now: Instant) {
        let Sent { times, answer_within } = sent;
        if answer_within > ANSWER_WAIT_MAX {
            awaited.from = NO_POSITION;
        }
        let wait = ANSWER_WAIT.saturating_mul(1 << times.saturating_sub(1).min(8)).min(ANSWER_WAIT_MAX);
        self.come_back(awaited, now + wait.max(answer_within));
    }

    /// Schedules the device again. Above the bound a sweep finds it.
    pub(super) fn come_back(&mut self, awaited: Awaited, at: Instant) {
        if self.due.len() < WAITING_MAX {
            self.count += 1;
            self.due.insert((at, self.count), awaited);
        }
    }

    /// The next device whose wait is over.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Awaited> {
        Some(self.due.first_entry().filter(|first| first.key().0 <= now)?.remove())
    }

    /// The position up to which the log need not be followed again, given that all hints up to `position` are followed.
    pub(super) fn followed(&self, position: u64) -> u64 {
        let oldest = self.due.values().map(|awaited| awaited.from).min();
        oldest.map_or(position, |oldest| position.min(oldest.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, TenantId};

    use super::*;

    fn sent(times: u32) -> Sent {
        Sent { times, answer_within: Duration::ZERO }
    }

    #[tokio::test]
    async fn each_wait_is_longer() {
        let device = DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d").unwrap() };
        let awaited = Awaited { device, channel: Channel::Commands, from: 7 };
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.expect_answer(awaited.clone(), sent(1), now);
        retries.expect_answer(awaited.clone(), sent(2), now);
        assert_eq!(retries.take_due(now + Duration::from_secs(29)), None);
        assert_eq!(retries.take_due(now + Duration::from_secs(31)), Some(awaited.clone()));
        assert_eq!(retries.take_due(now + Duration::from_secs(59)), None);
        assert!(retries.take_due(now + Duration::from_secs(60)).is_some());
        let slow = Sent { answer_within: Duration::from_secs(3_600), ..sent(1) };
        retries.expect_answer(awaited, slow, now);
        assert_eq!(retries.take_due(now + Duration::from_secs(3_599)), None);
        assert!(retries.take_due(now + Duration::from_secs(3_600)).is_some());
    }

    #[tokio::test]
    async fn the_next_owner_finds_unanswered_commands() {
        let device = DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d").unwrap() };
        let (mut retries, now) = (Retries::default(), Instant::now());
        assert_eq!(retries.followed(20), 20);
        retries.expect_answer(
            Awaited { device: device.clone(), channel: Channel::Run, from: NO_POSITION },
            sent(1),
            now,
        );
        assert_eq!(retries.followed(20), 20, "a sweep finds commands that no hint names");
        retries.expect_answer(Awaited { device, channel: Channel::Commands, from: 7 }, sent(1), now);
        assert_eq!(retries.followed(20), 6);
        while retries.take_due(now + ANSWER_WAIT).is_some() {}
        assert_eq!(retries.followed(20), 20);
    }

    #[tokio::test]
    async fn a_device_that_may_take_long_to_answer_does_not_hold_the_checkpoint() {
        let device = DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d").unwrap() };
        let (mut retries, now) = (Retries::default(), Instant::now());
        let slow = Sent { answer_within: Duration::from_secs(900), ..sent(1) };
        retries.expect_answer(Awaited { device, channel: Channel::Commands, from: 7 }, slow, now);
        assert_eq!(retries.followed(20), 20, "a sweep finds it");
        assert!(retries.take_due(now + Duration::from_secs(900)).is_some());
    }
}

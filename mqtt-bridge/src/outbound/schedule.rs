//! The devices of one way: those that wait, those that are processed, and those whose answer is awaited. Each way has its own, so that devices
//! of one never wait for those of another.

use std::sync::Arc;
use std::time::Duration;

use domain::TenantId;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::deliver::{Delivered, Deliverer, Memory};
use super::pending::{Hint, NO_POSITION, Pending};
use super::retries::{Awaited, Retries};
use crate::command::Fingerprint;
use crate::device_ref::DeviceRef;
use crate::topics::Channel;

/// Pause after a failure, and of a device for which there is no room.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// A device that waits longer than this may wait for days, so it doesn't hold the checkpoint, which is common to all tenants. After a change of
/// owners a sweep finds it.
const HELD_MAX: Duration = Duration::from_secs(30);

type Work = BoxFuture<'static, (DeviceRef, Delivered)>;

pub(super) struct Schedule {
    deliverer: Arc<Deliverer>,
    pending: Pending,
    in_work: FuturesUnordered<Work>,
    in_work_max: usize,
    retries: Retries,
}

impl Schedule {
    /// The log is read from after `position` on.
    pub(super) fn new(deliverer: Deliverer, in_work_max: usize, position: u64) -> Self {
        Self {
            deliverer: Arc::new(deliverer),
            pending: Pending::reading_from(position),
            in_work: FuturesUnordered::new(),
            in_work_max,
            retries: Retries::default(),
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.deliverer.memory
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.has_room()
    }

    pub(super) fn add(&mut self, device: DeviceRef, hint: Hint) {
        self.pending.add(device, hint);
    }

    /// Takes a device that another way doesn't reach. Without room it comes back soon.
    pub(super) fn take_over(&mut self, device: DeviceRef, hint: Hint) {
        if self.pending.has_room() {
            self.pending.add(device, hint);
        } else {
            let awaited = Awaited { device, channel: Channel::Commands, from: hint.from };
            self.retries.come_back(awaited, Instant::now() + FAILURE_PAUSE);
        }
    }

    /// Everything up to here has been read.
    pub(super) fn read_to(&mut self, position: u64) {
        self.pending.read_to(position);
    }

    pub(super) fn take_work(&mut self) {
        while self.in_work.len() < self.in_work_max && self.deliverer.way.is_open() {
            let Some((device, hint)) = self.pending.take() else { return };
            self.in_work.push(Arc::clone(&self.deliverer).deliver(device, hint).boxed());
        }
    }

    /// The next device that has been processed.
    pub(super) async fn processed(&mut self) -> (DeviceRef, Delivered) {
        match self.in_work.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Returns the device with its hints if it belongs to another way.
    pub(super) fn finish(&mut self, device: DeviceRef, delivered: Delivered) -> Option<(DeviceRef, Hint)> {
        let now = Instant::now();
        match delivered {
            Delivered::Stands { awaited } => {
                let from = self.pending.done(device.clone());
                for (channel, sent) in awaited.each() {
                    // A command beside updates may stay unanswered for days. After a change of owners a sweep finds it.
                    let from = if channel == Channel::Run { NO_POSITION } else { from };
                    let awaited = Awaited { device: device.clone(), channel, from };
                    self.retries.expect_answer(awaited, sent, now);
                }
            }
            Delivered::Elsewhere => {
                let hint = self.pending.remove(&device)?;
                return Some((device, hint));
            }
            Delivered::Failed => self.pending.failed(device, now + FAILURE_PAUSE),
            Delivered::Later { pause } => {
                let from = self.pending.done(device.clone());
                let from = if pause > HELD_MAX { NO_POSITION } else { from };
                self.retries.come_back(Awaited { device, channel: Channel::Commands, from }, now + pause);
            }
        }
        None
    }

    /// Devices whose command is published come first after a change of their tenant: it may have to be taken back.
    pub(super) fn look_at_all_of(&mut self, tenant: &TenantId) {
        let published = self
            .memory()
            .iter()
            .filter(|(key, published)| key.0.tenant == *tenant && published.fingerprint != Fingerprint::Nothing);
        let published: Vec<DeviceRef> = published.map(|(key, _)| key.0.clone()).collect();
        for device in published {
            self.pending.add(device, Hint::look_again());
        }
    }

    /// Queues devices whose wait is over.
    pub(super) fn wake(&mut self, now: Instant) {
        self.pending.wake(now);
        while let Some(Awaited { device, channel, from }) = self.retries.take_due(now) {
            self.pending.add(device, Hint::repeat(channel, from));
        }
    }

    /// The position from which the next owner must continue, so that it repeats unanswered commands. Devices that wait long don't hold it
    /// back.
    pub(super) fn followed(&self) -> u64 {
        self.retries.followed(self.pending.followed())
    }
}

#[cfg(test)]
mod tests {
    use domain::DeviceId;

    use super::super::fake_way::FakeWay;
    use super::*;

    #[tokio::test]
    async fn only_a_short_wait_of_a_device_holds_the_checkpoint() {
        for (pause, followed) in [(HELD_MAX, 4), (HELD_MAX * 2, 9)] {
            let mut schedule = Schedule::new(Arc::new(FakeWay::pausing(pause)).deliverer(), 1, 4);
            let device = DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d-1").unwrap() };
            schedule.add(device, Hint::at(5));
            schedule.read_to(9);
            assert_eq!(schedule.followed(), 4);
            schedule.take_work();
            let (device, delivered) = schedule.processed().await;
            assert_eq!(schedule.finish(device, delivered), None);
            assert_eq!(schedule.followed(), followed, "{pause:?}");
            schedule.wake(Instant::now() + pause);
            assert_eq!((schedule.waiting(), schedule.followed()), (1, followed), "it is looked at again");
        }
    }
}

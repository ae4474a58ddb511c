//! Devices to be processed: each at most once, with the oldest hint that is not followed yet.
//!
//! Invariant: [`Pending::followed`] never passes a hint whose device has not been processed since.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::time::Instant;

use crate::device_ref::DeviceRef;
use crate::topics::Channel;

/// Most devices that wait at the same time. Above that no hints are read.
pub(super) const PENDING_MAX: usize = 20_000;
/// Position of a hint that is not from the log.
pub(super) const NO_POSITION: u64 = u64::MAX;

/// Why and how a device is to be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    /// Oldest record that caused the hint.
    pub(super) from: u64,
    /// Newest record that the device must be loaded with.
    pub(super) to: u64,
    pub(super) force: Force,
}

/// Topics whose command is published even if it was published before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Force {
    commands: bool,
    run: bool,
}

impl Force {
    pub(super) fn of(channel: Channel) -> Self {
        Self { commands: channel == Channel::Commands, run: channel == Channel::Run }
    }

    pub(super) fn includes(self, channel: Channel) -> bool {
        match channel {
            Channel::Commands => self.commands,
            Channel::Run => self.run,
            _ => false,
        }
    }

    fn merge(&mut self, other: Self) {
        self.commands |= other.commands;
        self.run |= other.run;
    }
}

impl Hint {
    pub(super) fn at(position: u64) -> Self {
        Self { from: position, to: position, force: Force::default() }
    }

    /// Schedules the device again, without a record of the log.
    pub(super) fn look_again() -> Self {
        Self { from: NO_POSITION, to: 0, force: Force::default() }
    }

    /// Schedules publishing again after a record.
    pub(super) fn repeat(channel: Channel, from: u64) -> Self {
        Self { from, to: 0, force: Force::of(channel) }
    }

    fn merge(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.force.merge(other.force);
    }
}

struct Entry {
    hint: Hint,
    /// Hints that arrived while the device was being processed.
    newer: Option<Hint>,
    in_work: bool,
}

#[derive(Default)]
pub(super) struct Pending {
    entries: HashMap<DeviceRef, Entry>,
    queue: VecDeque<DeviceRef>,
    /// Devices that wait after a failure.
    later: BTreeMap<(Instant, u64), DeviceRef>,
    later_count: u64,
    /// Newest position read.
    read: u64,
}

impl Pending {
    pub(super) fn reading_from(position: u64) -> Self {
        Self { read: position, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < PENDING_MAX
    }

    /// Everything up to here has been read.
    pub(super) fn read_to(&mut self, position: u64) {
        self.read = self.read.max(position);
    }

    pub(super) fn add(&mut self, device: DeviceRef, hint: Hint) {
        match self.entries.get_mut(&device) {
            Some(entry) if entry.in_work => match &mut entry.newer {
                Some(newer) => newer.merge(hint),
                None => entry.newer = Some(hint),
            },
            Some(entry) => entry.hint.merge(hint),
            None => {
                self.queue.push_back(device.clone());
                self.entries.insert(device, Entry { hint, newer: None, in_work: false });
            }
        }
    }

    /// The next device to process.
    pub(super) fn take(&mut self) -> Option<(DeviceRef, Hint)> {
        let device = self.queue.pop_front()?;
        let entry = self.entries.get_mut(&device)?;
        entry.in_work = true;
        Some((device, entry.hint))
    }

    /// The device has been processed. Returns the oldest record that was followed.
    pub(super) fn done(&mut self, device: DeviceRef) -> u64 {
        let Some(entry) = self.entries.remove(&device) else { return NO_POSITION };
        if let Some(newer) = entry.newer {
            self.add(device, newer);
        }
        entry.hint.from
    }

    /// The device is not processed here: takes it out, with all of its hints.
    pub(super) fn remove(&mut self, device: &DeviceRef) -> Option<Hint> {
        let Entry { mut hint, newer, .. } = self.entries.remove(device)?;
        if let Some(newer) = newer {
            hint.merge(newer);
        }
        Some(hint)
    }

    /// The device could not be processed and waits until then.
    pub(super) fn failed(&mut self, device: DeviceRef, until: Instant) {
        let Some(entry) = self.entries.get_mut(&device) else { return };
        entry.in_work = false;
        if let Some(newer) = entry.newer.take() {
            entry.hint.merge(newer);
        }
        self.later_count += 1;
        self.later.insert((until, self.later_count), device);
    }

    /// Queues devices whose wait is over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            self.queue.push_back(first.remove());
        }
    }

    /// Every record up to here has been followed.
    pub(super) fn followed(&self) -> u64 {
        let oldest =
            self.entries.values().map(|entry| entry.hint.from.min(entry.newer.map_or(NO_POSITION, |n| n.from)));
        oldest.min().map_or(self.read, |oldest| self.read.min(oldest.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{DeviceId, TenantId};

    use super::*;

    fn device(id: &str) -> DeviceRef {
        DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new(id).unwrap() }
    }

    fn hinted(pending: &mut Pending, id: &str, position: u64) {
        pending.read_to(position);
        pending.add(device(id), Hint::at(position));
    }

    #[test]
    fn hints_of_one_device_are_one() {
        let mut pending = Pending::default();
        hinted(&mut pending, "d-1", 5);
        hinted(&mut pending, "d-1", 9);
        assert_eq!(pending.take(), Some((device("d-1"), Hint { from: 5, to: 9, force: Force::default() })));
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn a_hint_during_the_work_makes_more_work_afterwards() {
        let mut pending = Pending::default();
        hinted(&mut pending, "d-1", 5);
        pending.take();
        hinted(&mut pending, "d-1", 7);
        assert_eq!(pending.take(), None, "never two at once");
        assert_eq!(pending.followed(), 4);
        pending.done(device("d-1"));
        assert_eq!(pending.followed(), 6);
        assert_eq!(pending.take(), Some((device("d-1"), Hint::at(7))));
        pending.done(device("d-1"));
        assert_eq!(pending.followed(), 7);
    }

    #[tokio::test]
    async fn what_failed_is_not_followed_and_comes_again() {
        let mut pending = Pending::default();
        hinted(&mut pending, "d-1", 5);
        hinted(&mut pending, "d-2", 6);
        pending.take();
        pending.take();
        let now = Instant::now();
        pending.failed(device("d-1"), now + Duration::from_secs(1));
        pending.done(device("d-2"));
        assert_eq!(pending.followed(), 4);
        pending.wake(now);
        assert_eq!(pending.take(), None);
        pending.wake(now + Duration::from_secs(1));
        assert_eq!(pending.take(), Some((device("d-1"), Hint::at(5))));
    }

    #[test]
    fn a_device_that_belongs_elsewhere_leaves_with_all_of_its_hints() {
        let mut pending = Pending::default();
        hinted(&mut pending, "d-1", 5);
        pending.take();
        hinted(&mut pending, "d-1", 9);
        assert_eq!(pending.remove(&device("d-1")), Some(Hint { from: 5, to: 9, force: Force::default() }));
        assert_eq!((pending.len(), pending.followed()), (0, 9));
    }

    #[test]
    fn looking_again_holds_up_no_position() {
        let mut pending = Pending::reading_from(10);
        pending.add(device("d-1"), Hint::look_again());
        assert_eq!(pending.followed(), 10);
    }

    #[test]
    fn each_topic_is_repeated_for_itself() {
        let mut pending = Pending::default();
        pending.add(device("d-1"), Hint::repeat(Channel::Run, 7));
        pending.add(device("d-1"), Hint::at(9));
        let (_, hint) = pending.take().unwrap();
        assert!(hint.force.includes(Channel::Run) && !hint.force.includes(Channel::Commands));
        assert_eq!((hint.from, hint.to), (7, 9));
    }
}

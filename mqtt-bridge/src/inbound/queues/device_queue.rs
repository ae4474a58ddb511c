//! Messages of one device that wait: within its rate in order of arrival, above it only those that no newer message replaces. Pieces of logs
//! above the rate never wait, because they would delay the device's reports.
//!
//! Invariants: of messages with the same key the newest is always kept until it is taken, except pieces of logs; a queue keeps at most
//! [`KEPT_MAX`] messages of a kind, except measurements and pieces of logs; an empty queue can be dropped without loss.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::coalesce::{CoalesceKey, Coalesced, Kind};
use super::rates::{self, Rates};

/// Messages of one kind that are within the rate and wait for their turn.
const GRANTED_MAX: usize = 24;
/// The same for measurements, which never replace each other: the whole burst of the rate.
const MEASUREMENTS_MAX: usize = rates::MEASUREMENTS.burst as usize;
/// The same for pieces of logs.
const LOGS_MAX: usize = rates::LOG.burst as usize;
/// Different reports of a kind above the rate.
const WAITING_MAX: usize = 32;
/// Reports beyond that, and pieces of logs above the rate, on their way to the dead letters.
const EXCESS_MAX: usize = 4;
/// Messages of one kind. Of those that replace each other one per key waits; a kind has at most three such keys.
pub(super) const KEPT_MAX: usize = GRANTED_MAX + WAITING_MAX + EXCESS_MAX + 3;
const _: () = assert!(KEPT_MAX < 64);

/// State of a message in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Within the rate.
    Granted,
    /// Above it.
    Waiting,
    /// Taken once, throttled and put back.
    Throttled { until: Instant },
    /// Above the limit of different reports, or a piece of a log above the rate.
    Excess,
}

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Above the rate, and a newer one has the same key.
    Rate,
    /// Throttled, and a newer one has the same key.
    Throttled,
    /// More different reports than are kept, or more pieces of logs than the rate allows.
    TooMany,
}

impl Dropped {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Throttled => "budget",
            Self::TooMany => "too_many",
        }
    }
}

pub(super) struct Entry<M> {
    pub(super) message: M,
    pub(super) standing: Standing,
    /// Time of the latest progress acknowledgement.
    pub(super) renewed: Instant,
    /// Set for waiting and throttled messages only, because parsing a message takes time.
    key: Option<CoalesceKey>,
    /// Permit for a throttled message.
    permit: Option<OwnedSemaphorePermit>,
}

pub(super) struct DeviceQueue<M> {
    pub(super) rates: Rates,
    entries: VecDeque<Entry<M>>,
}

impl<M: Coalesced + Clone> DeviceQueue<M> {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, entries: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a message; returns a message to drop for it, which may be the message itself.
    pub(super) fn offer(&mut self, message: M, now: Instant) -> Option<(M, Dropped)> {
        let number = message.number();
        if let Some(again) = self.entries.iter_mut().find(|entry| number.is_some() && entry.message.number() == number)
        {
            (again.message, again.renewed) = (message, now);
            return None;
        }
        let kind = message.kind();
        if matches!(kind, Kind::Report | Kind::RunReport) {
            // A report is decided on after the device's earlier self-reports.
            self.entries.iter_mut().for_each(|entry| entry.make_due(now));
        }
        let in_line = |entry: &&Entry<M>| entry.message.kind() == kind && entry.standing == Standing::Granted;
        let overtakes = self.any(kind, Standing::Waiting);
        let room = self.entries.iter().filter(in_line).count() < granted_max(kind);
        if room && !overtakes && self.rates.take(kind, now) {
            let moot = self.take_throttled_before(&message);
            // A redelivered message goes before those that came after it.
            let after = |entry: &Entry<M>| !message.is_older_than(&entry.message);
            let place = self.entries.iter().rposition(after).map_or(0, |last| last + 1);
            self.entries.insert(place, Entry::new(message, Standing::Granted, now));
            return moot.map(|moot| (moot, Dropped::Throttled));
        }
        self.offer_above_the_rate(message, now)
    }

    fn offer_above_the_rate(&mut self, message: M, now: Instant) -> Option<(M, Dropped)> {
        let (kind, key) = (message.kind(), message.coalesce_key());
        let replaceable = |entry: &Entry<M>| {
            matches!(entry.standing, Standing::Waiting | Standing::Throttled { .. })
                && entry.message.kind() == kind
                && entry.key == Some(key)
        };
        let Some(index) = self.entries.iter().position(replaceable) else {
            return self.add(message, key, now);
        };
        if message.is_older_than(&self.entries[index].message) {
            return Some((message, Dropped::Rate));
        }
        let new = Entry { key: Some(key), ..Entry::new(message, Standing::Waiting, now) };
        let old = std::mem::replace(&mut self.entries[index], new);
        if matches!(key, CoalesceKey::Report(_)) {
            // The newest report stays the last one.
            let moved = self.entries.remove(index);
            self.entries.extend(moved);
        }
        let why = if old.standing == Standing::Waiting { Dropped::Rate } else { Dropped::Throttled };
        Some((old.message, why))
    }

    fn add(&mut self, message: M, key: CoalesceKey, now: Instant) -> Option<(M, Dropped)> {
        let kind = message.kind();
        let count = |standing: Standing| {
            let alike = |entry: &&Entry<M>| entry.message.kind() == kind && entry.standing == standing;
            self.entries.iter().filter(alike).count()
        };
        let is_excess = match key {
            _ if kind == Kind::Log => true,
            CoalesceKey::Report(_) => count(Standing::Waiting) >= WAITING_MAX,
            _ => false,
        };
        if is_excess && count(Standing::Excess) >= EXCESS_MAX {
            return Some((message, Dropped::TooMany));
        }
        let standing = if is_excess { Standing::Excess } else { Standing::Waiting };
        self.entries.push_back(Entry { key: Some(key), ..Entry::new(message, standing, now) });
        None
    }

    /// The next message that is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Entry<M>> {
        let mut found = None;
        for (index, entry) in self.entries.iter().enumerate() {
            match entry.standing {
                Standing::Throttled { until } if until > now => continue,
                Standing::Waiting if !self.rates.take(entry.message.kind(), now) => break,
                _ => found = Some(index),
            }
            break;
        }
        found.and_then(|index| self.entries.remove(index))
    }

    /// When the next message is due.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let mut due: Option<Instant> = None;
        for entry in &self.entries {
            let (at, passable) = match entry.standing {
                Standing::Throttled { until } => (until, true),
                Standing::Waiting => (self.rates.ready_at(entry.message.kind(), now), false),
                Standing::Granted | Standing::Excess => (now, false),
            };
            due = Some(due.map_or(at, |due| due.min(at)));
            if !passable {
                break;
            }
        }
        due
    }

    /// Puts back a message that was taken and is throttled; returns it if a newer one has the same key.
    pub(super) fn put_back(
        &mut self,
        message: M,
        until: Instant,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) -> Option<M> {
        let (kind, key) = (message.kind(), message.coalesce_key());
        let newer = |entry: &Entry<M>| {
            entry.message.kind() == kind && message.is_older_than(&entry.message) && entry.message.coalesce_key() == key
        };
        if self.entries.iter().any(newer) {
            return Some(message);
        }
        let (key, permit) = (Some(key), Some(permit));
        // In order of arrival: the message that waits longest is next.
        let before = |entry: &&Entry<M>| entry.is_throttled() && entry.message.is_older_than(&message);
        let place = self.entries.iter().take_while(before).count();
        self.entries.insert(place, Entry { key, permit, ..Entry::new(message, Standing::Throttled { until }, now) });
        None
    }

    /// Messages without a recent progress acknowledgement. They count as acknowledged from now.
    pub(super) fn unrenewed(&mut self, after: Duration, now: Instant) -> Vec<M> {
        let old = self.entries.iter_mut().filter(|entry| now.duration_since(entry.renewed) >= after);
        old.map(|entry| {
            entry.renewed = now;
            entry.message.clone()
        })
        .collect()
    }

    /// Everything that is left.
    pub(super) fn drain(&mut self) -> Vec<M> {
        self.entries.drain(..).map(|entry| entry.message).collect()
    }

    fn any(&self, kind: Kind, standing: Standing) -> bool {
        self.entries.iter().any(|entry| entry.message.kind() == kind && entry.standing == standing)
    }

    /// The throttled message that a newer one replaces.
    fn take_throttled_before(&mut self, newer: &M) -> Option<M> {
        let kind = newer.kind();
        let held = |entry: &Entry<M>| entry.permit.is_some() && entry.message.kind() == kind;
        let index = self.entries.iter().position(held)?;
        let entry = &self.entries[index];
        let moot = entry.message.is_older_than(newer) && entry.key == Some(newer.coalesce_key());
        if moot { self.entries.remove(index).map(|entry| entry.message) } else { None }
    }
}

fn granted_max(kind: Kind) -> usize {
    match kind {
        Kind::Measurements => MEASUREMENTS_MAX,
        Kind::Log => LOGS_MAX,
        _ => GRANTED_MAX,
    }
}

impl<M> Entry<M> {
    fn new(message: M, standing: Standing, now: Instant) -> Self {
        Self { message, standing, renewed: now, key: None, permit: None }
    }

    fn is_throttled(&self) -> bool {
        matches!(self.standing, Standing::Throttled { .. })
    }

    fn make_due(&mut self, now: Instant) {
        if let Standing::Throttled { until } = &mut self.standing {
            *until = now;
        }
    }
}

#[cfg(test)]
mod tests;

//! What one device did in a campaign, counted from its turn: its outcome and its durations, whenever its turn comes.

use chrono::{DateTime, TimeDelta, Utc};

use super::progress::DeviceProgress;
use crate::device::{Outcome, Phase};
use crate::per_transport::counted_as;
use crate::values::Transport;

/// A change of a device, some time after its turn.
pub(super) type Change = (TimeDelta, DeviceProgress);

/// The first update of a device in a campaign.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Place in the campaign's order, from 0.
    pub(super) rank: u32,
    /// The one that it counts with.
    pub(super) transport: Transport,
    began: DateTime<Utc>,
    /// In order of time. The first one takes the slot.
    changes: Vec<Change>,
}

impl Track {
    pub(super) fn new(rank: u32, transport: Transport, began: DateTime<Utc>) -> Self {
        let transport = counted_as(transport == Transport::Lorawan);
        Self { rank, transport, began, changes: vec![(TimeDelta::zero(), granted())] }
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.changes.last().is_some_and(|(_, progress)| progress.outcome() == Some(Outcome::Superseded))
    }

    /// Only changes of what is counted are kept.
    pub(super) fn push(&mut self, at: DateTime<Utc>, progress: DeviceProgress) {
        let latest = self.changes.last().map(|(_, latest)| latest.counts());
        if latest != Some(progress.counts()) {
            self.changes.push(((at - self.began).max(TimeDelta::zero()), progress));
        }
    }

    /// The changes up to the one by which the campaign took the update back.
    fn own(&self) -> &[Change] {
        let end = self.changes.iter().position(|(_, progress)| progress.is_cancelled());
        &self.changes[..end.unwrap_or(self.changes.len())]
    }

    /// Its changes, if they lead to an outcome of its own.
    pub(super) fn known(&self) -> Option<&[Change]> {
        let own = self.own();
        own.last().is_some_and(|(_, progress)| progress.outcome().is_some()).then_some(own)
    }
}

/// How long devices take whose outcome is not known: the median of those whose outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Typical {
    answer: TimeDelta,
    confirm: TimeDelta,
    fail: TimeDelta,
}

impl Typical {
    /// `assumed`: the time of an update where none has ended.
    pub(super) fn of<'a>(tracks: impl Iterator<Item = &'a Track> + Clone, assumed: TimeDelta) -> Self {
        let first = |is_it: fn(&DeviceProgress) -> bool| {
            let known = tracks.clone().filter_map(Track::known);
            median(
                known.filter_map(|changes| changes.iter().find(|(_, progress)| is_it(progress))).map(|change| change.0),
            )
        };
        let confirm = first(|progress| progress.outcome() == Some(Outcome::Confirmed));
        let fail = first(|progress| progress.gate_failed);
        let (confirm, fail) = (confirm.or(fail).unwrap_or(assumed), fail.or(confirm).unwrap_or(assumed));
        let answer = first(|progress| progress.reached).unwrap_or_default();
        Self { answer: answer.min(confirm).min(fail), confirm, fail }
    }

    /// What a device is assumed to do: what it has done already, if anything, and then this outcome.
    pub(super) fn changes(&self, track: Option<&Track>, outcome: Outcome) -> Vec<Change> {
        let takes = if outcome == Outcome::Confirmed { self.confirm } else { self.fail };
        let mut changes = track.map_or_else(|| self.answers(), |track| track.own().to_vec());
        let (latest, progress) = changes.last().copied().unwrap_or_default();
        changes.push((takes.max(latest), progress.ended(outcome)));
        changes
    }

    fn answers(&self) -> Vec<Change> {
        vec![(TimeDelta::zero(), granted()), (self.answer, granted().in_phase(Phase::Accepted))]
    }
}

fn granted() -> DeviceProgress {
    DeviceProgress::default().in_phase(Phase::Dispatched)
}

/// The middle one, the later of two.
fn median(durations: impl Iterator<Item = TimeDelta>) -> Option<TimeDelta> {
    let mut sorted: Vec<TimeDelta> = durations.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

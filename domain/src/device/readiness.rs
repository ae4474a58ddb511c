//! Whether an update may begin, why it waits, and which of its clocks runs out first. Pure rules over the state of a device and an
//! update. The aggregate decides with them, read models keep what they say, and replies explain with them.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::phase::{Phase, WaitReason};
use super::progress::UpdateState;
use super::update_spec::Limits;
use super::{Clock, Hold, Lifecycle, Reachability};
use crate::window::DeviceWindows;

/// Whether a device can begin an update, and what it does instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability<'a> {
    pub decommissioned: bool,
    pub online: bool,
    pub hold: Option<Hold>,
    /// The update that has begun and not ended.
    pub live: Option<u32>,
    /// Updates that wait for their next attempt. Others wait for them.
    pub between_attempts: &'a BTreeSet<u32>,
}

/// An update that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingUpdate {
    /// None while a campaign's device has no update yet.
    pub ordinal: Option<u32>,
    /// Why it waits by its latest event, if it waits.
    pub waits_for: Option<WaitReason>,
    /// End of its pause or deferral.
    pub not_before: Option<DateTime<Utc>>,
    /// It is critical or a rollback, and so does not wait for an update between two attempts.
    pub goes_first: bool,
}

/// When an update may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Now,
    /// From then on, unless something happens before.
    At(DateTime<Utc>),
    /// Not before something happens.
    No(WaitReason),
}

impl Readiness {
    pub fn is_now(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Now => true,
            Self::At(at) => at <= now,
            Self::No(_) => false,
        }
    }
}

/// What else an update waits for, beside its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// A campaign says when it begins.
    pub of_campaign: bool,
    /// That campaign is paused.
    pub paused: bool,
    /// Its preconditions are met, as far as is known; also if it has none.
    pub met: bool,
    /// The maintenance window of its campaign is open, or there is none.
    pub open: bool,
}

impl<'a> Availability<'a> {
    pub fn new(
        lifecycle: Lifecycle,
        reachability: Reachability,
        hold: Option<Hold>,
        live: Option<u32>,
        between_attempts: &'a BTreeSet<u32>,
    ) -> Self {
        let decommissioned = lifecycle == Lifecycle::Decommissioned;
        Self { decommissioned, online: reachability == Reachability::Online, hold, live, between_attempts }
    }

    /// What on the device keeps an update from beginning. `held`: whether the hold counts.
    pub fn blocked_by(&self, pending: &PendingUpdate, held: bool) -> Option<WaitReason> {
        let is_other = |ordinal: u32| Some(ordinal) != pending.ordinal;
        let is_first = pending.goes_first || pending.waits_for == Some(WaitReason::Backoff);
        let waits_for_attempt = !is_first && self.between_attempts.iter().any(|ordinal| is_other(*ordinal));
        if held {
            Some(WaitReason::Held)
        } else if self.live.is_some_and(is_other) || waits_for_attempt {
            Some(WaitReason::Busy)
        } else if !self.online {
            Some(WaitReason::Offline)
        } else {
            None
        }
    }

    pub fn is_held(&self, now: DateTime<Utc>) -> bool {
        self.hold.is_some_and(|hold| hold.is_in_force(now))
    }

    /// When an update may begin, as far as its device is concerned. On a device that is decommissioned it may begin at once, so that it
    /// can end.
    pub fn readiness(&self, pending: &PendingUpdate) -> Readiness {
        let held_for_good = self.hold.is_some_and(|hold| hold.until.is_none());
        let from = match self.blocked_by(pending, held_for_good) {
            _ if self.decommissioned => pending.not_before,
            Some(reason) => return Readiness::No(reason),
            None => pending.not_before.max(self.hold.and_then(|hold| hold.until)),
        };
        from.map_or(Readiness::Now, Readiness::At)
    }

    /// Why an update that waits does not begin at `now`. An event says why an update begins to wait; what becomes of the device afterwards
    /// changes the reason without an event. None for an update of the device alone that no event has made wait.
    pub fn wait_reason(
        &self,
        pending: &PendingUpdate,
        conditions: Conditions,
        now: DateTime<Utc>,
    ) -> Option<WaitReason> {
        use WaitReason as R;
        let pauses = pending.not_before.is_some_and(|until| now < until);
        match pending.waits_for {
            Some(reason @ (R::Backoff | R::Unresponsive)) if pauses => return Some(reason),
            Some(R::Unresponsive) if !self.online => return Some(R::Unresponsive),
            Some(R::Withdrawn) if conditions.paused => return Some(R::Withdrawn),
            _ => {}
        }
        if let Some(reason) = self.blocked_by(pending, self.is_held(now)) {
            return Some(reason);
        }
        match pending.waits_for {
            _ if !conditions.met => Some(R::Precondition),
            _ if conditions.of_campaign && !conditions.open => Some(R::Window),
            _ if conditions.of_campaign => Some(R::Slot),
            // Nothing keeps it but its turn: another update of the device goes first.
            Some(R::Offline | R::Held) => Some(R::Busy),
            reason => reason,
        }
    }
}

/// The clocks of an update: where it stands, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Clocks<'a> {
    pub state: &'a UpdateState,
    pub of_campaign: bool,
    pub limits: &'a Limits,
    /// End of the waiting clock.
    pub wait_until: DateTime<Utc>,
    /// The device's first `received`.
    pub reached_at: Option<DateTime<Utc>>,
    pub phase_since: DateTime<Utc>,
    /// For how long the working clock stood still.
    pub idle: TimeDelta,
    /// The windows of its campaign, if it waits for them.
    pub windows: Option<DeviceWindows<'a>>,
}

/// How long the working clock is stopped in a phase from `from` to `to`: while the update is staged (until the device answers) or deferred, while
/// it waits for a slot after a deferral, and while it waits for any reason with its window closed.
pub fn idle_in(phase: Phase, from: DateTime<Utc>, to: DateTime<Utc>, windows: Option<DeviceWindows<'_>>) -> TimeDelta {
    match (phase, windows) {
        (Phase::Staged | Phase::Activating | Phase::Deferred | Phase::Waiting(WaitReason::Slot), _) => to - from,
        (Phase::Waiting(_), Some(of)) => (to - from) - of.windows.open_between(of.zone, from, to),
        _ => TimeDelta::zero(),
    }
}

impl Clocks<'_> {
    /// When the first of the clocks can run out; none if none runs. Messages of the device only make it later.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.earliest().map(|(at, _)| at)
    }

    /// The same, and which clock that is.
    pub fn earliest(&self) -> Option<(DateTime<Utc>, Clock)> {
        let phase = self.state.phase;
        if phase.is_ended() {
            return None;
        }
        let waits =
            self.reached_at.is_none() && (phase.is_waiting() || matches!(phase, Phase::Dispatched | Phase::Deferred));
        let clocks = [
            (waits.then_some(self.wait_until), Clock::Wait),
            (self.total(), Clock::Total),
            (self.of_phase(), Clock::Phase),
        ];
        clocks.into_iter().filter_map(|(at, clock)| Some((at?, clock))).min_by_key(|(at, _)| *at)
    }

    /// The working clock. While an update waits, it runs only while its window is open.
    fn total(&self) -> Option<DateTime<Utc>> {
        let phase = self.state.phase;
        let rests =
            matches!(phase, Phase::Staged | Phase::Activating | Phase::Deferred | Phase::Waiting(WaitReason::Slot));
        if rests {
            return None;
        }
        let end = self.reached_at? + TimeDelta::seconds(self.limits.total_s.into()) + self.idle;
        match self.windows.filter(|_| phase.is_waiting()) {
            Some(of) => Some(of.windows.after_open(of.zone, self.phase_since, end - self.phase_since)),
            None => Some(end),
        }
    }

    fn of_phase(&self) -> Option<DateTime<Utc>> {
        let after = |seconds: u32| Some(self.phase_since + TimeDelta::seconds(seconds.into()));
        match self.state.phase {
            Phase::Dispatched | Phase::Activating => after(self.limits.dispatch_s),
            Phase::Downloading => after(self.limits.downloading_s),
            Phase::Accepted | Phase::Verifying | Phase::Installing | Phase::Rebooting => after(self.limits.phase_s),
            Phase::Cancelling => after(self.limits.cancel_s),
            Phase::Deferred => self.state.not_before,
            // It begins again by itself.
            Phase::Waiting(WaitReason::Backoff | WaitReason::Held | WaitReason::Unresponsive) if !self.of_campaign => {
                self.state.not_before.or(Some(self.phase_since))
            }
            Phase::Queued | Phase::Waiting(_) | Phase::Staged | Phase::Ended(_) => None,
        }
    }
}

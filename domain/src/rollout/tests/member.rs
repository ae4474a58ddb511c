//! A device in a campaign as process managers see it: a fold of its events.

use std::collections::BTreeSet;

use super::*;
use crate::device::{Availability, DeviceEvent, Outcome, PendingUpdate, Phase, UpdateKind, UpdateSpec, UpdateState};
use crate::device::{WaitReason, goes_first};

const FAILED: [Outcome; 3] = [Outcome::Failed, Outcome::TimedOut, Outcome::Rejected];

/// An update or a rollback of a member.
#[derive(Debug, Clone)]
pub(super) struct Tracked {
    pub(super) ordinal: u32,
    /// What the device ran when it was queued.
    pub(super) from: String,
    pub(super) round: u16,
    pub(super) state: UpdateState,
    goes_first: bool,
    /// It was confirmed, and the device runs another version again.
    lost: bool,
}

impl Tracked {
    fn new(ordinal: u32, spec: &UpdateSpec) -> Self {
        Self {
            ordinal,
            from: spec.from_version.clone().unwrap_or_default(),
            round: spec.campaign.map_or(0, |campaign| campaign.round),
            state: UpdateState::queued(),
            goes_first: goes_first(spec.kind, spec.priority),
            lost: false,
        }
    }

    /// A version that was lost is a failure.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.state.phase {
            Phase::Ended(Outcome::Confirmed) if self.lost => Some(Outcome::Failed),
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    pub(super) fn is_failed(&self) -> bool {
        self.outcome().is_some_and(|outcome| FAILED.contains(&outcome))
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.outcome() == Some(Outcome::Confirmed)
    }

    /// Whether it has not ended, and is before the point of no return.
    pub(super) fn may_be_cancelled(&self) -> bool {
        let past_return = matches!(self.state.phase, Phase::Installing | Phase::Rebooting | Phase::Cancelling);
        self.outcome().is_none() && !past_return
    }

    /// The command was sent, and not answered.
    pub(super) fn is_unanswered(&self) -> bool {
        let phase = self.state.phase;
        matches!(phase, Phase::Dispatched | Phase::Activating | Phase::Waiting(WaitReason::Backoff))
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    pub(super) wave: u16,
    /// None before the device has one, and while the member is to be retried.
    pub(super) update: Option<Tracked>,
    /// Set while it is to be retried: its former update, and whether an operator has accepted its failure.
    before_retry: Option<(Tracked, bool)>,
    /// Its latest rollback, and whether an operator has accepted how it ended.
    pub(super) rollback: Option<Tracked>,
    pub(super) rollback_accepted: bool,
    pub(super) holds_slot: bool,
    /// The device took the slot without a grant, by a late answer.
    pub(super) is_late: bool,
    pub(super) grant: u64,
    /// The slot was granted, and the device hasn't answered.
    pub(super) is_unseen: bool,
    pub(super) gate_failed: bool,
    /// An operator has accepted its fault, or the failure of this update.
    pub(super) gate_accepted: bool,
    pub(super) failure_accepted: bool,
    pub(super) confirmed_ever: bool,
    /// This update has failed in some attempt.
    has_code: bool,
    /// Its update ended without success, and the device runs the version.
    late_confirmed: bool,
    online: bool,
    live: Option<u32>,
    between_attempts: BTreeSet<u32>,
    /// The update that a new one retries.
    retry_of: Option<u32>,
}

impl Member {
    pub(super) fn of_wave(wave: u16) -> Self {
        Self { wave, ..Self::default() }
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.update.as_ref().map(|update| update.state.phase)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.phase().is_some_and(Phase::is_ended)
    }

    pub(super) fn is_staged(&self) -> bool {
        self.phase() == Some(Phase::Staged)
    }

    pub(super) fn is_reached(&self) -> bool {
        self.update.as_ref().is_some_and(|update| update.state.reached)
    }

    pub(super) fn is_new(&self) -> bool {
        self.update.is_none() && self.before_retry.is_none()
    }

    /// Failed or expired, so it is retried. The gates' counts don't change.
    pub(super) fn retry(&mut self) {
        let ended_badly = |update: &mut Tracked| update.is_failed() || update.outcome() == Some(Outcome::Expired);
        if self.late_confirmed {
            return;
        }
        if let Some(former) = self.update.take_if(|update| ended_badly(update)) {
            self.retry_of = Some(former.ordinal);
            self.before_retry = Some((former, self.failure_accepted));
            (self.failure_accepted, self.has_code, self.holds_slot) = (false, false, false);
        }
    }

    /// There is no retry.
    pub(super) fn restore(&mut self) {
        if self.holds_slot {
            return;
        }
        if let Some((former, accepted)) = self.before_retry.take() {
            self.has_code = former.is_failed();
            (self.update, self.failure_accepted, self.retry_of) = (Some(former), accepted, None);
        }
    }

    pub(super) fn accept_failure(&mut self) {
        self.rollback_accepted |= self.rollback.as_ref().is_some_and(|rollback| rollback.outcome().is_some());
        if !self.gate_failed {
            return;
        }
        self.gate_accepted = true;
        // A member that waits for its retry has nothing that could be accepted yet.
        self.failure_accepted = self.has_code && self.update.as_ref().is_some_and(|update| !update.is_confirmed());
        if let Some((_, accepted)) = &mut self.before_retry {
            *accepted = true;
        }
    }

    fn may_have_slot(&self, pending: Option<&Tracked>, is_rollback: bool, now: DateTime<Utc>) -> bool {
        let availability = Availability {
            decommissioned: false,
            online: self.online,
            hold: None,
            live: self.live,
            between_attempts: &self.between_attempts,
        };
        let pending = PendingUpdate {
            ordinal: pending.map(|update| update.ordinal),
            waits_for: pending.and_then(|update| update.state.phase.wait_reason()),
            not_before: pending.and_then(|update| update.state.not_before),
            goes_first: pending.map_or(is_rollback, |update| update.goes_first),
        };
        !self.holds_slot && availability.readiness(&pending).is_now(now)
    }

    pub(super) fn is_ready(&self, now: DateTime<Utc>) -> bool {
        let waits = self.phase().is_none_or(Phase::is_waiting) || self.is_staged();
        waits && self.may_have_slot(self.update.as_ref(), false, now)
    }

    /// Whether it is to go back in this round: it runs the campaign's version because of it.
    pub(super) fn goes_back(&self, round: u16) -> bool {
        let runs = self.update.as_ref().is_some_and(|update| update.is_confirmed() || self.late_confirmed);
        runs && self.rollback.as_ref().is_none_or(|rollback| rollback.round != round && !rollback.is_confirmed())
    }

    fn rollback_in(&self, round: u16) -> Option<&Tracked> {
        self.rollback.as_ref().filter(|rollback| rollback.round == round && rollback.outcome().is_none())
    }

    /// Whether it could go back now with a slot.
    pub(super) fn may_return(&self, round: u16, left: &str, now: DateTime<Utc>) -> bool {
        let begun = self.rollback_in(round).filter(|rollback| rollback.state.phase.is_waiting());
        let may_begin = self.goes_back(round) && self.back_to().is_some_and(|version| version != left);
        (begun.is_some() || may_begin) && self.may_have_slot(begun, true, now)
    }

    /// What its device ran before its update, which has ended.
    pub(super) fn back_to(&self) -> Option<&String> {
        self.update.as_ref().filter(|_| self.is_ended()).map(|update| &update.from)
    }

    /// A slot is granted. `round`: of the rollback that is under way.
    pub(super) fn grant(&mut self, number: u64, round: Option<u16>) {
        let returns = round.is_some_and(|round| self.goes_back(round) || self.rollback_in(round).is_some());
        let is_wanted = returns || !self.is_ended();
        (self.grant, self.is_late) = (number, false);
        (self.holds_slot, self.is_unseen) = (is_wanted, is_wanted);
    }

    /// Follows what the device is busy with, in whichever campaign, and whether it runs the version of an update that ended without it.
    pub(super) fn follow_device(&mut self, event: &DeviceEvent, version: &str) {
        use DeviceEvent as E;
        match event {
            E::CameOnline { .. } => self.online = true,
            E::WentOffline { .. } => self.online = false,
            E::VersionsReported { versions, .. } => {
                versions.get("firmware").into_iter().for_each(|running| self.follow_version(running == version));
            }
            E::UpdateConfirmed { version: running, .. } => self.follow_version(running == version),
            _ => {}
        }
        let (Some(update), Some(phase)) = (event.update(), event.phase()) else { return };
        if phase.is_live() {
            self.live = Some(update.ordinal);
        } else if self.live == Some(update.ordinal) {
            self.live = None;
        }
        if phase == Phase::Waiting(WaitReason::Backoff) {
            self.between_attempts.insert(update.ordinal);
        } else {
            self.between_attempts.remove(&update.ordinal);
        }
    }

    fn follow_version(&mut self, runs: bool) {
        if runs {
            self.restore();
        }
        let Some(update) = self.update.as_ref().filter(|update| !update.is_confirmed()) else { return };
        let was_sent = update.state.attempt > 0 || update.outcome() == Some(Outcome::Expired);
        let is_latest = self.rollback.as_ref().is_none_or(|rollback| rollback.ordinal < update.ordinal);
        if update.outcome().is_some() && was_sent && is_latest {
            self.late_confirmed = runs;
        }
    }

    /// Applies an event of its update or of its rollback. Later events of a former one change nothing.
    pub(super) fn apply(&mut self, event: &DeviceEvent) {
        let Some(ordinal) = event.update().map(|update| update.ordinal) else { return };
        let present = self.update.as_ref().map(|update| update.ordinal);
        if self.retry_of.is_some_and(|old| ordinal <= old) || present.is_some_and(|present| ordinal < present) {
            return;
        }
        let returns = self.rollback.as_ref().map(|rollback| rollback.ordinal);
        match event {
            DeviceEvent::UpdateQueued { spec, .. } if spec.kind == UpdateKind::Rollback => {
                (self.rollback, self.rollback_accepted) = (Some(Tracked::new(ordinal, spec)), false);
            }
            DeviceEvent::UpdateQueued { spec, .. } => {
                (self.update, self.before_retry) = (Some(Tracked::new(ordinal, spec)), None);
                self.late_confirmed = false;
            }
            _ if returns == Some(ordinal) => {}
            _ if returns.is_none() || present == Some(ordinal) => self.count(event),
            _ => return,
        }
        let of = [&mut self.rollback, &mut self.update].into_iter().flatten().find(|of| of.ordinal == ordinal);
        let Some(of) = of else { return };
        of.state.apply(event);
        of.lost |= matches!(event, DeviceEvent::VersionRegressed { .. });
        let has_ended = of.outcome().is_some();
        self.late_confirmed &= returns != Some(ordinal) || !of.is_confirmed();
        self.follow_slot(event, has_ended);
    }

    /// What the gates count.
    fn count(&mut self, event: &DeviceEvent) {
        self.gate_failed |= event.is_gate_failure();
        self.has_code |= event.failure_code().is_some();
        if matches!(event, DeviceEvent::UpdateConfirmed { .. }) {
            (self.confirmed_ever, self.failure_accepted) = (true, false);
        }
    }

    fn follow_slot(&mut self, event: &DeviceEvent, has_ended: bool) {
        use DeviceEvent as E;
        self.is_late |= matches!(event, E::UpdateAccepted { takes_slot: true, .. }) && !self.holds_slot;
        let was_unseen = self.holds_slot && self.is_unseen;
        let keeps =
            matches!(event, E::UpdateQueued { .. } | E::UpdateCancelling { .. } | E::UpdateCancelRefused { .. });
        if let Some(phase) = event.phase().filter(|_| !keeps) {
            self.holds_slot = matches!(phase, Phase::Dispatched | Phase::Activating) || phase.is_working();
        }
        if has_ended {
            // A slot that was granted afterwards is for the rollback: later reports on the ended update don't answer it.
            self.is_unseen &= event.phase().is_none();
        } else if was_unseen {
            // The grant isn't answered yet, also after other reports of the device.
            self.is_unseen = event.grant().is_none_or(|number| number < self.grant);
            self.holds_slot |= self.is_unseen;
        }
        self.is_late &= self.holds_slot;
    }
}

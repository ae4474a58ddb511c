//! What the events so far say of a device of a campaign.

use crate::device::{DeviceEvent, Outcome, Phase};
use crate::rollout::Counts;
use crate::values::Transport;

/// The progress of one device. Its counts are those that read models keep of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DeviceProgress {
    pub(super) reached: bool,
    pub(super) gate_failed: bool,
    confirmed_ever: bool,
    is_regressed: bool,
    /// None before its turn.
    phase: Option<Phase>,
}

impl DeviceProgress {
    /// It answers and ends with this outcome: confirmed or failed.
    pub(super) fn ended(self, outcome: Outcome) -> Self {
        Self {
            reached: true,
            gate_failed: self.gate_failed || outcome == Outcome::Failed,
            confirmed_ever: self.confirmed_ever || outcome == Outcome::Confirmed,
            phase: Some(Phase::Ended(outcome)),
            ..self
        }
    }

    /// In this phase, as it was otherwise.
    pub(super) fn in_phase(self, phase: Phase) -> Self {
        Self { reached: self.reached || phase.is_working(), phase: Some(phase), ..self }
    }

    /// Failures while staging don't count for the activation.
    pub(super) fn begins_activation(&mut self) {
        self.gate_failed &= self.outcome().is_some();
    }

    pub(super) fn apply(&mut self, event: &DeviceEvent) {
        self.reached |= matches!(event, DeviceEvent::UpdateAccepted { .. });
        self.confirmed_ever |= matches!(event, DeviceEvent::UpdateConfirmed { .. });
        self.is_regressed |= matches!(event, DeviceEvent::VersionRegressed { .. });
        self.gate_failed |= event.is_gate_failure();
        self.phase = event.phase().or(self.phase);
    }

    /// How it ended.
    pub(super) fn outcome(self) -> Option<Outcome> {
        match self.phase {
            Some(Phase::Ended(outcome)) => Some(outcome),
            _ => None,
        }
    }

    /// Whether its campaign, not the device, ends its update.
    pub(super) fn is_cancelled(self) -> bool {
        matches!(self.phase, Some(Phase::Cancelling | Phase::Ended(Outcome::Cancelled)))
    }

    /// Whether the success gate counts it as failed.
    pub(super) fn is_failed(self) -> bool {
        self.is_regressed || matches!(self.outcome(), Some(Outcome::Failed | Outcome::TimedOut | Outcome::Rejected))
    }

    /// The same, of a device of a transport.
    pub(super) fn counts_of(self, transport: Transport) -> Counts {
        let counts = self.counts();
        let lorawan_in_use = if transport == Transport::Lorawan { counts.in_use } else { 0 };
        Counts { lorawan_in_use, ..counts }
    }

    pub(super) fn counts(self) -> Counts {
        let outcome = self.outcome();
        let ended_as = |expected| u32::from(outcome == Some(expected));
        let holds_slot = self
            .phase
            .is_some_and(|phase| phase.is_working() || matches!(phase, Phase::Dispatched | Phase::Activating));
        let rests = matches!(self.phase, Some(Phase::Deferred | Phase::Staged));
        let is_working = self.phase == Some(Phase::Cancelling) || (self.reached && outcome.is_none() && !rests);
        let is_staged = self.phase == Some(Phase::Staged);
        Counts {
            reached: self.reached.into(),
            confirmed: (outcome == Some(Outcome::Confirmed) && !self.is_regressed).into(),
            failed: self.is_failed().into(),
            gate_failed: self.gate_failed.into(),
            gate_settled: (self.gate_failed || self.confirmed_ever).into(),
            in_use: holds_slot.into(),
            working: is_working.into(),
            expired: ended_as(Outcome::Expired),
            cancelled: ended_as(Outcome::Cancelled),
            superseded: ended_as(Outcome::Superseded),
            staged: is_staged.into(),
            staged_failed: (is_staged && self.gate_failed).into(),
            ..Counts::default()
        }
    }
}

//! Blue/green: all devices stage the version, under the campaign's slots and rate. When enough have, they activate it in waves (ADR 34).
//!
//! Staging is judged like a wave before the first one, by the same success gate: a staged device counts as one that has succeeded.

use chrono::{DateTime, Utc};

use super::gate::SuccessGate;
use super::{Counts, RolloutStep, RolloutView};
use crate::campaign::{Evidence, GateKind};

impl RolloutView {
    /// Whether devices of a wave run the version once it is installed. Before its wave opens a device stops at *staged*.
    /// After the campaign's end no device activates.
    pub fn activates(&self, wave: u16, now: DateTime<Utc>) -> bool {
        !self.spec.stages() || (wave <= self.wave && !self.is_over(now))
    }

    /// Whether devices stage, and none may activate yet.
    pub(super) fn is_staging(&self) -> bool {
        self.spec.stages() && self.wave == 0 && !self.wave_completed
    }

    /// Devices that the failure gate judges: in a wave those that run the version or have failed, in the whole campaign also staged
    /// ones whose wave isn't open yet. These have not failed, and the failures of their wave count, too.
    pub(super) fn settled_for_failure_gate(&self, counts: Counts, wave: Option<u16>) -> u32 {
        let waiting = if wave.is_none() { self.waves.get(usize::from(self.wave)..).unwrap_or_default() } else { &[] };
        let staged: u32 = waiting.iter().map(|wave| wave.staged.saturating_sub(wave.staged_failed)).sum();
        counts.gate_settled.saturating_sub(counts.accepted_settled) + staged
    }

    /// What the success gate of the staging counts.
    pub(super) fn staging_counts(&self) -> Counts {
        let total = self.total();
        Counts { confirmed: total.confirmed + total.staged, ..total }
    }

    pub(super) fn evidence_of_staging(&self) -> Evidence {
        let total = self.total();
        let failed = total.failed.saturating_sub(total.accepted_ended);
        self.evidence(total, total.confirmed + total.staged + failed, failed, |device| device.ended)
    }

    pub(super) fn staging_decision(&self, now: DateTime<Utc>) -> Option<RolloutStep> {
        let gate = self.success_gate(self.staging_counts(), now);
        let evidence = self.evidence_of_staging();
        match gate {
            SuccessGate::Open if self.next_wave_waits_for_window(now) => None,
            SuccessGate::Open => Some(RolloutStep::CompleteStaging { evidence }),
            SuccessGate::Undecided => None,
            SuccessGate::TooFewReached => Some(self.close(GateKind::TooFewReached, evidence)),
            SuccessGate::TooFewConfirmed => Some(self.close(GateKind::Success, evidence)),
        }
    }
}

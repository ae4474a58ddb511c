//! The gates of a wave: failure, success, soak.

use chrono::{DateTime, Utc};

use super::{Counts, FailedDevice, RolloutStep, RolloutView};
use crate::campaign::{EVIDENCE_DEVICES_MAX, Evidence, GateKind};

/// The success gate's verdict on a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SuccessGate {
    Open,
    /// Devices are still updating, or may still begin.
    Undecided,
    TooFewReached,
    TooFewConfirmed,
}

impl RolloutView {
    /// The failure gate is always active, for the open wave and for the whole campaign.
    pub(super) fn failure_gate(&self) -> Option<RolloutStep> {
        let wave = self.open_wave().filter(|wave| self.is_failing(*wave, Some(self.wave)));
        let scope = match wave {
            Some(_) => Some(self.wave),
            None if self.is_failing(self.total(), None) => None,
            None => return None,
        };
        Some(RolloutStep::CloseGate {
            gate: GateKind::Failure,
            wave: scope,
            threshold_percent: self.spec.failure_threshold(scope).get(),
            evidence: self.evidence_of_failures(scope),
        })
    }

    /// Settled devices below which the failure gate does not judge a share.
    pub(super) fn least_settled(&self, counts: Counts) -> u32 {
        self.spec.gate_min_settled.min(counts.enrolled.saturating_sub(counts.accepted_settled)).max(1)
    }

    pub(super) fn is_failing(&self, counts: Counts, wave: Option<u16>) -> bool {
        let failed = counts.gate_failed.saturating_sub(counts.accepted_failed);
        let settled = self.settled_for_failure_gate(counts, wave);
        let least = self.least_settled(counts);
        let threshold = u64::from(self.spec.failure_threshold(wave).get());
        let by_share = settled >= least && u64::from(failed) * 100 > threshold * u64::from(settled);
        let by_count = self.spec.failure_count.is_some_and(|count| failed >= count);
        by_share || by_count
    }

    /// Success gate, soak, end of the open wave.
    pub(super) fn wave_decision(&self, now: DateTime<Utc>) -> Option<RolloutStep> {
        let counts = self.open_wave().filter(|_| !self.wave_completed)?;
        let (wave, evidence) = (self.wave, self.evidence_of_wave(counts));
        let gate = self.success_gate(counts, now);
        match (self.soaking_since, gate) {
            (None, SuccessGate::Open) => Some(RolloutStep::PassGate { wave, evidence }),
            (None, SuccessGate::Undecided) => None,
            (Some(since), SuccessGate::Open) => {
                let over = counts.enrolled == 0 || now >= self.soak_ends(since);
                (over && !self.next_wave_waits_for_window(now)).then_some(RolloutStep::CompleteWave { wave, evidence })
            }
            // A device that begins during the soak is not a regression.
            (Some(_), SuccessGate::Undecided) => None,
            (Some(_), SuccessGate::TooFewConfirmed) => Some(RolloutStep::BreakSoak { wave, evidence }),
            (_, SuccessGate::TooFewReached) => Some(self.close(GateKind::TooFewReached, evidence)),
            (None, SuccessGate::TooFewConfirmed) => Some(self.close(GateKind::Success, evidence)),
        }
    }

    pub(super) fn close(&self, gate: GateKind, evidence: Evidence) -> RolloutStep {
        let threshold_percent = match gate {
            GateKind::TooFewReached => self.spec.min_reached_percent.get(),
            GateKind::Failure | GateKind::Success | GateKind::Rollback => self.spec.success_threshold(self.wave),
        };
        let wave = Some(self.wave).filter(|wave| *wave > 0);
        RolloutStep::CloseGate { gate, wave, threshold_percent, evidence }
    }

    pub(super) fn success_gate(&self, counts: Counts, now: DateTime<Utc>) -> SuccessGate {
        let enrolled = counts.enrolled.saturating_sub(counts.superseded + counts.cancelled);
        if enrolled == 0 {
            return SuccessGate::Open;
        }
        let everybody_ended = counts.has_everybody_ended();
        // Failures that an operator accepted at a resume are not counted again.
        let failed = counts.failed.saturating_sub(counts.accepted_ended);
        // Late devices may arrive for days. After the wait a wave may pass if it would pass even if all working devices failed.
        let at_work = counts.working + counts.in_use;
        let waited = || everybody_ended || self.is_wave_wait_over(now);
        // Devices whose delay is not over are ready soon, and those whose window is closed when it opens.
        let may_begin = counts.ready + counts.closed > 0 || (self.jitter_until(now).is_some() && !everybody_ended);
        // No device is working, so each reached device has settled, or has deferred or left and does not count.
        let settled = counts.confirmed + counts.failed;
        let enough = u64::from(settled) * 100 >= u64::from(self.spec.min_reached_percent.get()) * u64::from(enrolled);
        let enough_late = settled >= self.spec.gate_min_settled.min(enrolled);
        if may_begin || ((at_work > 0 || !enough) && !waited()) {
            return SuccessGate::Undecided;
        }
        // If no further device can begin, the gate does not wait: without failures the wave passes, and the last wave is judged.
        let guards_others = self.guards_others();
        let is_final = everybody_ended && (failed == 0 || !guards_others);
        let is_enough = enough || enough_late || is_final || self.accepted;
        if !is_enough && at_work == 0 {
            // If no later wave has devices, a pause would only prevent late devices from updating.
            return if guards_others { SuccessGate::TooFewReached } else { SuccessGate::Undecided };
        }
        let judged = u64::from(counts.confirmed) + u64::from(failed) + u64::from(at_work);
        let threshold = u64::from(self.spec.success_threshold(self.wave));
        if is_enough && u64::from(counts.confirmed) * 100 >= threshold * judged {
            SuccessGate::Open
        } else if at_work > 0 {
            SuccessGate::Undecided
        } else {
            SuccessGate::TooFewConfirmed
        }
    }

    /// Whether a wave after the open one has devices.
    pub(super) fn guards_others(&self) -> bool {
        self.waves.iter().skip(self.wave.into()).any(|wave| wave.enrolled > 0)
    }

    pub(super) fn open_wave(&self) -> Option<Counts> {
        self.waves.get(usize::from(self.wave).checked_sub(1)?).copied()
    }

    /// Counts of the failure gate, for the open wave or the whole campaign, without accepted failures.
    pub(super) fn evidence_of_failures(&self, wave: Option<u16>) -> Evidence {
        let counts = match wave {
            Some(_) => self.open_wave().unwrap_or_default(),
            None => self.total(),
        };
        let settled = self.settled_for_failure_gate(counts, wave);
        let failed = counts.gate_failed.saturating_sub(counts.accepted_failed);
        self.evidence(counts, settled, failed, |device| device.counts && wave.is_none_or(|wave| device.wave == wave))
    }

    /// Counts of the success gate of the open wave: how its updates ended, without accepted failures.
    pub(super) fn evidence_of_wave(&self, counts: Counts) -> Evidence {
        let failed = counts.failed.saturating_sub(counts.accepted_ended);
        self.evidence(counts, counts.confirmed + failed, failed, |device| device.ended && device.wave == self.wave)
    }

    /// The whole campaign at its end, with all failures.
    pub(super) fn evidence_of_all(&self) -> Evidence {
        let counts = self.total();
        self.evidence(counts, counts.gate_settled, counts.gate_failed, |_| true)
    }

    pub(super) fn evidence(
        &self,
        counts: Counts,
        settled: u32,
        failed: u32,
        named: impl Fn(&FailedDevice) -> bool,
    ) -> Evidence {
        let named = self.failed_devices.iter().filter(|device| named(device)).take(EVIDENCE_DEVICES_MAX);
        Evidence {
            position: self.position,
            enrolled: counts.enrolled,
            reached: counts.reached,
            settled,
            confirmed: counts.confirmed,
            failed,
            staged: counts.staged,
            devices: named.map(|failed| failed.device.clone()).collect(),
        }
    }
}

//! The current results of a campaign's gates, also while the campaign is paused.

use chrono::{DateTime, Utc};

use super::gate::SuccessGate;
use super::{Counts, RolloutView};
use crate::campaign::{CampaignStatus, GateKind, GateResult, Verdict};

impl RolloutView {
    /// The failure gate of the open wave and of the whole campaign, then the success gate of the open wave or the staging. Empty unless the
    /// campaign is running or paused with a plan.
    pub fn gate_results(&self, now: DateTime<Utc>) -> Vec<GateResult> {
        let is_judged = matches!(self.status, CampaignStatus::Running | CampaignStatus::Paused);
        if !is_judged || self.rollback.is_some() || self.waves.is_empty() {
            return vec![];
        }
        let open = self.open_wave();
        let of_wave = open.map(|counts| self.failure_result(counts, Some(self.wave)));
        let of_all = self.failure_result(self.total(), None);
        let success = if self.is_staging() {
            Some(self.success_result(self.staging_counts(), None, now))
        } else {
            open.filter(|_| !self.wave_completed).map(|counts| self.success_result(counts, Some(self.wave), now))
        };
        of_wave.into_iter().chain([of_all]).chain(success).collect()
    }

    fn failure_result(&self, counts: Counts, wave: Option<u16>) -> GateResult {
        let evidence = self.evidence_of_failures(wave);
        let verdict = match self.is_failing(counts, wave) {
            true => Verdict::Closed,
            false if evidence.settled >= self.least_settled(counts) => Verdict::Passed,
            false => Verdict::Undecided,
        };
        let limit_percent = self.spec.failure_threshold(wave).get();
        GateResult { gate: GateKind::Failure, wave, verdict, limit_percent, evidence }
    }

    fn success_result(&self, counts: Counts, wave: Option<u16>, now: DateTime<Utc>) -> GateResult {
        let evidence = match wave {
            Some(_) => self.evidence_of_wave(counts),
            None => self.evidence_of_staging(),
        };
        let success = self.spec.success_threshold(self.wave);
        let (gate, verdict, limit_percent) = match self.success_gate(counts, now) {
            SuccessGate::Open => (GateKind::Success, Verdict::Passed, success),
            SuccessGate::Undecided => (GateKind::Success, Verdict::Undecided, success),
            SuccessGate::TooFewReached => {
                (GateKind::TooFewReached, Verdict::Closed, self.spec.min_reached_percent.get())
            }
            SuccessGate::TooFewConfirmed => (GateKind::Success, Verdict::Closed, success),
        };
        GateResult { gate, wave, verdict, limit_percent, evidence }
    }
}

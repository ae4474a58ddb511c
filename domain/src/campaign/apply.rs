//! What the events of a campaign change in its state.

use super::{Campaign, CampaignEvent, CampaignResult, CampaignStatus, Decision, PauseCause};
use crate::change::Change;
use crate::plan::ExpectedPlan;

impl Campaign {
    pub fn apply(&mut self, event: &CampaignEvent) {
        use CampaignEvent as E;
        match event {
            E::Created { spec, .. } => {
                self.status = CampaignStatus::Draft;
                self.spec = Some((**spec).clone());
            }
            E::Amended { spec, by } => {
                self.status = CampaignStatus::Draft;
                self.spec = Some((**spec).clone());
                (self.last_editor, self.decision) = (by.clone(), None);
                (self.expected, self.refused_plan) = (None, None);
            }
            E::ApprovalRequested { expected } => {
                (self.status, self.decision) = (CampaignStatus::AwaitingApproval, None);
                self.submitted = true;
                self.start_with(expected.as_deref());
            }
            E::Approved { by } => {
                self.status = CampaignStatus::Approved;
                self.decision = Some(Decision { approved: true, by: by.clone() });
            }
            E::Rejected { by } => {
                self.status = CampaignStatus::Rejected;
                self.decision = Some(Decision { approved: false, by: by.clone() });
            }
            E::Scheduled { expected, .. } => {
                self.status = CampaignStatus::Scheduled;
                self.start_with(expected.as_deref());
            }
            E::Adjusted { changes, sample } => {
                if let Change::Set(ends_at) = changes.ends_at {
                    self.ends_at = Some(ends_at);
                }
                self.spec = self.spec.take().map(|spec| spec.adjusted(changes));
                if let (Some(summary), Some(sample)) = (&mut self.summary, sample) {
                    summary.resample(sample);
                    // The last wave has new devices, so it is judged again.
                    if usize::from(self.wave) == summary.waves.len() {
                        (self.soaking, self.wave_completed) = (false, false);
                    }
                }
            }
            E::Deleted {} => self.status = CampaignStatus::Deleted,
            E::PlanningStarted { plan, firmware, ends_at, expected } => {
                self.start_with(expected.as_deref());
                self.ends_at = ends_at.or(self.spec.as_ref().and_then(|spec| spec.ends_at));
                self.status = CampaignStatus::Planning;
                self.plan = Some(*plan);
                self.firmware = Some((**firmware).clone());
            }
            E::Planned { summary } => {
                self.plan = Some(summary.plan);
                self.summary = Some((**summary).clone());
                self.expected = None;
            }
            E::PlanRefused { summary, returns_to } => {
                self.status = *returns_to;
                (self.plan, self.firmware, self.ends_at, self.expected) = (None, None, None, None);
                self.refused_plan = Some(summary.clone());
            }
            E::Started {} => self.status = CampaignStatus::Running,
            E::WaveOpened { wave, .. } => {
                self.wave = *wave;
                self.soaking = false;
                self.wave_completed = false;
            }
            E::GatePassed { .. } => self.soaking = true,
            E::SoakBroken { .. } => self.soaking = false,
            E::Staged { .. } | E::WaveCompleted { .. } => self.wave_completed = true,
            E::GateClosed { .. } => {
                self.soaking = false;
                (self.last_gate, self.gate_accepted) = (Some(Box::new(event.clone())), false);
            }
            E::Paused { cause } => {
                self.before_pause = self.status;
                self.status = CampaignStatus::Paused;
                self.paused_by_gate = *cause == PauseCause::Gate;
            }
            E::Resumed { accept_failures } => {
                self.gate_accepted |= self.paused_by_gate && *accept_failures;
                self.status = self.before_pause;
                self.paused_by_gate = false;
            }
            E::Retried { round, ends_at } => {
                self.retry_round = *round;
                if self.status.is_terminal() {
                    self.status = CampaignStatus::Running;
                }
                self.ends_at = ends_at.or(self.ends_at);
                if let (Some(spec), Some(ends_at)) = (&mut self.spec, ends_at) {
                    spec.ends_at = Some(*ends_at);
                }
            }
            E::Cancelling {} => self.status = CampaignStatus::Cancelling,
            E::RollingBack { round, .. } => {
                (self.status, self.retry_round) = (CampaignStatus::RollingBack, *round);
                (self.paused_by_gate, self.soaking) = (false, false);
            }
            E::RolledBack { .. } => self.status = CampaignStatus::RolledBack,
            E::Cancelled {} => self.status = CampaignStatus::Cancelled,
            E::Finished { result, .. } => {
                self.paused_by_gate = false;
                self.status = match result {
                    CampaignResult::Completed => CampaignStatus::Completed,
                    CampaignResult::CompletedWithFailures => CampaignStatus::CompletedWithFailures,
                    CampaignResult::Failed => CampaignStatus::Failed,
                };
            }
        }
    }

    /// A start names its plan, or none.
    fn start_with(&mut self, expected: Option<&ExpectedPlan>) {
        (self.expected, self.refused_plan) = (expected.cloned().map(Box::new), None);
    }
}

//! The Campaign aggregate: an operator's specification and the decisions of its gates. Which devices take part is in plan chunks
//! ([`crate::plan`]), which may begin is in the ledger ([`crate::ledger`]), and the outcomes are in the devices.

mod adjust;
mod allowed;
mod apply;
mod begin;
mod commands;
mod events;
mod expected;
mod filters;
mod gate_result;
mod rollback;
mod rules;
mod spec;
mod status;
#[cfg(test)]
pub(crate) mod tests;
pub mod threads;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use adjust::{Adjustments, Sample, TransportAdjustments};
pub use allowed::OperatorCommand;
pub use begin::Decision;
pub use commands::CampaignCommand;
pub use events::{
    CampaignEvent, CampaignResult, EVIDENCE_DEVICES_MAX, Evidence, GateKind, GateRollback, PauseCause, PlanSummary,
    RollbackCause, RollbackEvidence,
};
pub use gate_result::{Bound, GateResult, Verdict};
pub use rules::Violation;
pub use spec::{
    Advance, CONCURRENT_MAX, CampaignSpec, JITTER_MAX_SECONDS, Pace, RETRIES_MAX, SCHEDULED_AHEAD_MAX_DAYS,
    STAGED_PERCENTAGES, Strategy, TARGET_DEVICES_MAX, TARGET_GROUPS_MAX, TargetFilters, TransportLimits, WAVES_MAX,
    WaveSpec,
};
pub use status::CampaignStatus;

use crate::decider::Decider;
use crate::device::FirmwareSnapshot;
use crate::ids::{Actor, CampaignId};
use crate::plan::ExpectedPlan;
use crate::rejection::Rejection;
use crate::thread::{Aim, Point, Step, Thread};

/// Days after which a campaign ends if its specification has no end.
pub const ENDS_AFTER_DAYS: i64 = 30;

/// State of a campaign.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    pub status: CampaignStatus,
    pub spec: Option<CampaignSpec>,
    pub firmware: Option<FirmwareSnapshot>,
    /// Who changed the specification last; none before the first change.
    pub last_editor: Option<Actor>,
    /// The decision on this specification. An edit or a new request voids it.
    pub decision: Option<Decision>,
    /// It was submitted for approval at least once.
    pub submitted: bool,
    pub plan: Option<Uuid>,
    pub summary: Option<PlanSummary>,
    /// Number of the open wave, 0 before the first.
    pub wave: u16,
    /// The open wave's success gate has passed.
    pub soaking: bool,
    /// The open wave is completed, so the next one may open.
    pub wave_completed: bool,
    pub paused_by_gate: bool,
    /// The event of the latest gate that closed.
    pub last_gate: Option<Box<CampaignEvent>>,
    /// An operator accepted the failures that closed it.
    pub gate_accepted: bool,
    /// When it ends, after it was started. None in old campaigns whose events have no end.
    pub ends_at: Option<DateTime<Utc>>,
    /// How often it was retried.
    pub retry_round: u16,
    /// The plan that a start named. It stands until the plan is made, another start names another one, or the specification is edited.
    #[serde(default)]
    pub expected: Option<Box<ExpectedPlan>>,
    /// The plan that the latest start was refused for.
    #[serde(default)]
    pub refused_plan: Option<Box<PlanSummary>>,
    /// Status to go back to at a resume.
    before_pause: CampaignStatus,
}

crate::aggregate!(Campaign, "campaign", CampaignCommand, CampaignEvent);

impl Decider for Campaign {
    type Command = CampaignCommand;
    type Id = CampaignId;
    const DATED: &'static [&'static str] = &[
        "campaign.approved",
        "campaign.rejected",
        "campaign.planning_started",
        "campaign.gate_closed",
        "campaign.cancelled",
        "campaign.rolled_back",
        "campaign.finished",
    ];

    fn wants_reason(command: &CampaignCommand) -> bool {
        use CampaignCommand as C;
        matches!(
            command,
            C::Reject { .. }
                | C::Adjust { .. }
                | C::Delete
                | C::Pause { .. }
                | C::Resume { .. }
                | C::Cancel
                | C::RollBack { .. }
        )
    }

    fn decide(&self, now: DateTime<Utc>, command: &CampaignCommand) -> Result<Vec<CampaignEvent>, Rejection> {
        use CampaignCommand as C;
        use CampaignEvent as E;
        use CampaignStatus as S;
        let illegal = || {
            let (command, status) = (command.participle().to_owned(), self.status.word().to_owned());
            Err(Rejection::IllegalInState { command, status })
        };
        match (self.status, command) {
            (S::Absent, C::Create { id, spec }) => {
                spec.check(now)?;
                Ok(vec![E::Created { id: *id, spec: spec.clone() }])
            }
            (S::Deleted, C::Create { .. }) => Err(Rejection::CampaignExists),
            (_, C::Create { spec, .. }) if self.spec.as_ref() == Some(spec) => Ok(vec![]),
            (_, C::Create { .. }) => Err(Rejection::CampaignExists),
            (S::Absent | S::Deleted, _) => Err(Rejection::CampaignUnknown),

            (S::Draft | S::AwaitingApproval | S::Approved | S::Rejected | S::Scheduled, C::Amend { spec, by }) => {
                self.amend(now, spec, by)
            }
            (S::Paused | S::RollingBack, C::Adjust { changes })
                if self.is_rolling_back() && changes.rollout_percentage.is_some() =>
            {
                illegal()
            }
            (S::Running | S::Paused | S::RollingBack, C::Adjust { changes }) => self.adjust(now, changes),
            (S::Draft | S::AwaitingApproval | S::Approved | S::Rejected, C::Delete) => Ok(vec![E::Deleted {}]),
            (S::Draft | S::Approved | S::Rejected | S::Scheduled, C::Start { plan, firmware, expected }) => {
                self.begin(now, false, *plan, firmware, expected.as_deref())
            }
            (S::Draft | S::Approved | S::Rejected | S::Scheduled, C::StartNow { plan, firmware, expected }) => {
                self.begin(now, true, *plan, firmware, expected.as_deref())
            }
            (
                S::AwaitingApproval,
                C::Start { expected: Some(expected), .. } | C::StartNow { expected: Some(expected), .. },
            ) if !self.expects(expected) => Ok(vec![E::ApprovalRequested { expected: Some(expected.clone()) }]),
            (S::Planning, C::Start { expected: Some(expected), .. } | C::StartNow { expected: Some(expected), .. })
                if !self.expects(expected) =>
            {
                illegal()
            }
            (S::AwaitingApproval | S::Planning, C::Start { .. } | C::StartNow { .. }) => Ok(vec![]),
            (S::AwaitingApproval, C::Approve { by, creator }) => self.approve(now, by, creator),
            (S::AwaitingApproval | S::Approved, C::Reject { by, creator }) => self.reject(by, creator),
            (S::Approved, C::Approve { .. }) | (S::Rejected, C::Reject { .. }) => Ok(vec![]),
            // A plan is named by its content, which is known only after planning.
            (S::Planning, C::RecordPlan { summary }) if !self.refuses(summary) => Ok(self.begin_with(summary)),
            (S::Planning, C::RefusePlan { summary }) if self.refuses(summary) => {
                Ok(vec![E::PlanRefused { summary: summary.clone(), returns_to: self.after_refusal() }])
            }
            (_, C::RecordPlan { summary }) if self.summary.as_ref() == Some(summary) => Ok(vec![]),
            (_, C::RecordPlan { .. } | C::RefusePlan { .. }) => Err(Rejection::PlanMismatch),

            (S::Running, C::CompleteStaging { evidence }) => Ok(self.complete_staging(evidence)),
            (S::Running, C::PassGate { wave, evidence }) if *wave == self.wave => {
                if self.soaking || self.wave_completed {
                    return Ok(vec![]);
                }
                let soak_minutes = self.spec.as_ref().map_or(0, |spec| spec.soak_minutes(*wave));
                Ok(vec![E::GatePassed { wave: *wave, evidence: evidence.clone(), soak_minutes }])
            }
            (S::Running, C::BreakSoak { wave, evidence }) if *wave == self.wave => Ok(match self.soaking {
                true => vec![E::SoakBroken { wave: *wave, evidence: evidence.clone() }],
                false => vec![],
            }),
            (S::Running, C::CompleteWave { wave, evidence }) if *wave == self.wave && self.soaking => {
                Ok(self.complete_wave(*wave, evidence))
            }
            (S::Running, C::OpenWave { wave, force }) => self.open_wave(*wave, *force),
            (S::Running, C::PassGate { .. } | C::BreakSoak { .. } | C::CompleteWave { .. }) => Ok(vec![]),
            (S::Running, C::CloseGate { gate, wave, threshold_percent, evidence }) => {
                let rollback = self.rollback_after(*gate);
                let (gate, wave, threshold_percent) = (*gate, *wave, *threshold_percent);
                let closed = E::GateClosed { gate, wave, threshold_percent, evidence: evidence.clone(), rollback };
                Ok(vec![
                    closed,
                    match rollback {
                        GateRollback::Begun => self.rolling_back(RollbackCause::Gate),
                        GateRollback::NotWanted | GateRollback::NotAvailable => E::Paused { cause: PauseCause::Gate },
                    },
                ])
            }
            (S::RollingBack, C::CloseGate { gate: GateKind::Rollback, wave, threshold_percent, evidence }) => Ok(vec![
                E::GateClosed {
                    gate: GateKind::Rollback,
                    wave: *wave,
                    threshold_percent: *threshold_percent,
                    evidence: evidence.clone(),
                    rollback: GateRollback::NotWanted,
                },
                E::Paused { cause: PauseCause::Gate },
            ]),
            (S::Paused | S::RollingBack, C::CloseGate { .. }) => Ok(vec![]),
            (S::Scheduled | S::Planning | S::Running | S::RollingBack, C::Pause { cause }) => {
                Ok(vec![E::Paused { cause: *cause }])
            }
            (S::Paused, C::Pause { .. }) => Ok(vec![]),
            (S::Paused, C::Resume { accept_failures }) if self.paused_by_gate && !accept_failures => {
                Err(Rejection::GateStillClosed)
            }
            (S::Paused, C::Resume { accept_failures }) => Ok(vec![E::Resumed { accept_failures: *accept_failures }]),
            (S::Running | S::RollingBack, C::Resume { .. }) => Ok(vec![]),

            (S::Paused, C::Retry) if self.is_rolling_back() => illegal(),
            (S::Running | S::Paused, C::Retry) if self.summary.is_some() => Ok(vec![self.retried(now)]),
            (S::CompletedWithFailures | S::Failed, C::Retry) if self.summary.is_some() => Ok(vec![self.retried(now)]),

            (S::Draft | S::AwaitingApproval | S::Approved | S::Rejected | S::Scheduled, C::Cancel) => {
                Ok(vec![E::Cancelled {}])
            }
            // Nothing has begun.
            (S::Paused, C::Cancel) if self.before_pause == S::Scheduled => Ok(vec![E::Cancelled {}]),
            (S::Planning | S::Running | S::Paused | S::RollingBack, C::Cancel) => Ok(vec![E::Cancelling {}]),
            (S::Cancelling | S::Cancelled, C::Cancel) | (S::Cancelled, C::FinishCancel) => Ok(vec![]),
            (S::Cancelling, C::FinishCancel) => Ok(vec![E::Cancelled {}]),
            (_, C::RollBack { .. }) if self.is_rolling_back() => Ok(vec![]),
            (
                S::Running
                | S::Paused
                | S::Cancelling
                | S::Cancelled
                | S::RolledBack
                | S::Completed
                | S::CompletedWithFailures
                | S::Failed,
                C::RollBack { cause },
            ) if self.summary.is_some() => self.roll_back(*cause),
            (S::RollingBack, C::FinishRollback { evidence }) => Ok(vec![E::RolledBack { evidence: evidence.clone() }]),
            (S::RolledBack, C::FinishRollback { .. }) => Ok(vec![]),
            (S::Paused, C::Finish { .. }) if self.is_rolling_back() => illegal(),
            (S::Scheduled | S::Running | S::Paused, C::Finish { result, evidence }) => {
                Ok(vec![E::Finished { result: *result, evidence: evidence.clone() }])
            }
            (
                S::Draft
                | S::AwaitingApproval
                | S::Approved
                | S::Rejected
                | S::Scheduled
                | S::Planning
                | S::Running
                | S::Paused
                | S::Cancelling
                | S::Cancelled
                | S::RollingBack
                | S::RolledBack
                | S::Completed
                | S::CompletedWithFailures
                | S::Failed,
                _,
            ) => illegal(),
        }
    }

    fn exists(&self) -> bool {
        self.status != CampaignStatus::Absent
    }

    fn step_of(event: &CampaignEvent) -> Option<Step> {
        Some(threads::step(event))
    }

    fn points_of(&self, event: &CampaignEvent) -> Vec<(Thread, Point)> {
        threads::points(event)
    }

    fn aim_of(&self, command: &CampaignCommand) -> Aim {
        self.aim(command)
    }
}

impl Campaign {
    /// The events that follow from a plan. A campaign without devices finishes at once; a wave of blue/green opens after the staging.
    fn begin_with(&self, summary: &PlanSummary) -> Vec<CampaignEvent> {
        let mut events = vec![CampaignEvent::Planned { summary: Box::new(summary.clone()) }, CampaignEvent::Started {}];
        if summary.devices == 0 {
            let evidence = Evidence { position: summary.at_position, ..Evidence::default() };
            events.push(CampaignEvent::Finished { result: CampaignResult::Completed, evidence });
        } else if !self.stages() {
            events.push(CampaignEvent::WaveOpened { wave: 1, manual: false, forced: false });
        }
        events
    }

    fn stages(&self) -> bool {
        self.spec.as_ref().is_some_and(CampaignSpec::stages)
    }

    fn complete_staging(&self, evidence: &Evidence) -> Vec<CampaignEvent> {
        if !self.stages() || self.wave > 0 || self.wave_completed {
            return vec![];
        }
        let mut events = vec![CampaignEvent::Staged { evidence: evidence.clone() }];
        events.extend(self.opened_after(self.wave));
        events
    }

    /// The opening of the next wave, if it opens by itself.
    fn opened_after(&self, wave: u16) -> Option<CampaignEvent> {
        let is_auto = self.spec.as_ref().is_some_and(|spec| spec.advance_after(wave) == Advance::Auto);
        let opened = CampaignEvent::WaveOpened { wave: wave + 1, manual: false, forced: false };
        Some(opened).filter(|_| is_auto && !self.is_last_wave(wave))
    }

    /// The event of the gate that currently stops the campaign.
    pub fn closed_gate(&self) -> Option<&CampaignEvent> {
        self.last_gate.as_deref().filter(|_| self.status == CampaignStatus::Paused && self.paused_by_gate)
    }

    fn complete_wave(&self, wave: u16, evidence: &Evidence) -> Vec<CampaignEvent> {
        if self.wave_completed {
            return vec![];
        }
        let mut events = vec![CampaignEvent::WaveCompleted { wave, evidence: evidence.clone() }];
        events.extend(self.opened_after(wave));
        events
    }

    /// Opens a wave for an operator: when the wave waits for one, or earlier by force.
    fn open_wave(&self, wave: u16, force: bool) -> Result<Vec<CampaignEvent>, Rejection> {
        if wave <= self.wave && wave > 0 {
            return Ok(vec![]);
        }
        let (open, waves) = (self.wave, self.spec.as_ref().map_or(0, |spec| spec.waves.len()));
        let refused = |reason: String| Err(Rejection::WaveNotDue { wave, open_wave: open, reason });
        if wave == 0 || usize::from(wave) > waves {
            return refused(format!("there is no wave {wave}: the campaign has {waves} waves"));
        }
        if wave != open + 1 {
            return refused(format!("wave {open} is open, and the next one is wave {}", open + 1));
        }
        if self.wave_completed || force {
            return Ok(vec![CampaignEvent::WaveOpened { wave, manual: true, forced: !self.wave_completed }]);
        }
        if open == 0 {
            return refused("devices are still staging the version".to_owned());
        }
        if self.soaking {
            let minutes = self.spec.as_ref().map_or(0, |spec| spec.soak_minutes(open));
            return refused(format!("wave {open} is soaking: {minutes} minutes after its gate passed"));
        }
        refused(format!("the gate of wave {open} is undecided: its devices are still updating"))
    }

    fn retried(&self, now: DateTime<Utc>) -> CampaignEvent {
        let over =
            !self.status.is_live() && self.spec.as_ref().and_then(|spec| spec.ends_at).is_none_or(|end| end <= now);
        let ends_at = over.then(|| now + TimeDelta::days(ENDS_AFTER_DAYS));
        CampaignEvent::Retried { round: self.retry_round.saturating_add(1), ends_at }
    }

    fn is_last_wave(&self, wave: u16) -> bool {
        self.spec.as_ref().is_some_and(|spec| usize::from(wave) >= spec.waves.len())
    }
}

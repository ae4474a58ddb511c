//! The way from a draft to its start: edit, approval, scheduled start.
//!
//! `start` takes the next step that is left: it asks for an approval that is required and missing, it waits for a `scheduled_start` that is
//! ahead, or it starts. So neither an approval nor a scheduled start can be used to get around the other (ADR 30).

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Campaign, CampaignEvent, CampaignSpec, CampaignStatus, ENDS_AFTER_DAYS};
use crate::actor::Person;
use crate::device::FirmwareSnapshot;
use crate::ids::Actor;
use crate::plan::ExpectedPlan;
use crate::rejection::Rejection;

/// An approver's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub approved: bool,
    pub by: Person,
}

impl Campaign {
    /// Replaces the specification. A scheduled campaign moves to its new start, unless it has an approval or an expected plan, which an edit
    /// voids.
    pub(super) fn amend(
        &self,
        now: DateTime<Utc>,
        spec: &CampaignSpec,
        by: &Actor,
    ) -> Result<Vec<CampaignEvent>, Rejection> {
        spec.check(now)?;
        if self.spec.as_ref() == Some(spec) {
            return Ok(vec![]);
        }
        if self.submitted && self.requires_approval() && !spec.requires_approval {
            let reason = "can't be cleared any more: the campaign was submitted for approval".to_owned();
            return Err(Rejection::Invalid { field: "requires_approval".into(), reason });
        }
        let stays = self.status == CampaignStatus::Scheduled
            && self.expected.is_none()
            && !self.requires_approval()
            && !spec.requires_approval;
        let scheduled = spec.scheduled_start.filter(|_| stays);
        let scheduled = scheduled.map(|at| CampaignEvent::Scheduled { at, expected: None });
        let amended = CampaignEvent::Amended { spec: Box::new(spec.clone()), by: Some(by.clone()) };
        Ok([Some(amended), scheduled].into_iter().flatten().collect())
    }

    /// The next step towards the start. `at_once`: without waiting for the scheduled start.
    pub(super) fn begin(
        &self,
        now: DateTime<Utc>,
        at_once: bool,
        plan: Uuid,
        firmware: &FirmwareSnapshot,
        named: Option<&ExpectedPlan>,
    ) -> Result<Vec<CampaignEvent>, Rejection> {
        let expected = named.or(self.expected.as_deref()).cloned().map(Box::new);
        let ends_at = self.spec.as_ref().and_then(|spec| spec.ends_at);
        if let Some(ends_at) = ends_at.filter(|ends_at| *ends_at <= now) {
            return Err(Rejection::CampaignOver { ends_at });
        }
        let is_scheduled = self.status == CampaignStatus::Scheduled;
        let passed = self.scheduled_start().filter(|at| *at <= now && !is_scheduled && !at_once);
        if let Some(scheduled_start) = passed {
            return Err(Rejection::ScheduledStartPassed { scheduled_start });
        }
        if self.requires_approval() && !self.is_approved() {
            return Ok(vec![CampaignEvent::ApprovalRequested { expected }]);
        }
        match self.scheduled_start() {
            Some(scheduled_start) if scheduled_start > now => match at_once {
                true if self.requires_approval() => return Err(Rejection::ApprovedForLater { scheduled_start }),
                true => {}
                false if is_scheduled && named.is_none_or(|named| self.expects(named)) => return Ok(vec![]),
                false => return Ok(vec![CampaignEvent::Scheduled { at: scheduled_start, expected }]),
            },
            Some(_) | None => {}
        }
        let ends_at = Some(ends_at.unwrap_or(now + TimeDelta::days(ENDS_AFTER_DAYS)));
        // The event doesn't have it, so the state must not have it either.
        let firmware = Box::new(FirmwareSnapshot { lack: None, ..firmware.clone() });
        Ok(vec![CampaignEvent::PlanningStarted { plan, firmware, ends_at, expected }])
    }

    /// An approved campaign whose start is ahead starts by itself. One whose start has passed waits for an operator.
    pub(super) fn approve(
        &self,
        now: DateTime<Utc>,
        by: &Person,
        creator: &Actor,
    ) -> Result<Vec<CampaignEvent>, Rejection> {
        self.check_four_eyes(by, creator)?;
        let scheduled = self.scheduled_start().filter(|at| *at > now);
        let scheduled = scheduled.map(|at| CampaignEvent::Scheduled { at, expected: self.expected.clone() });
        Ok([Some(CampaignEvent::Approved { by: by.clone() }), scheduled].into_iter().flatten().collect())
    }

    pub(super) fn reject(&self, by: &Person, creator: &Actor) -> Result<Vec<CampaignEvent>, Rejection> {
        self.check_four_eyes(by, creator)?;
        Ok(vec![CampaignEvent::Rejected { by: by.clone() }])
    }

    /// Compares ids without their kinds: after `key:42` has prepared a campaign, `user:42` can't decide on it.
    fn check_four_eyes(&self, by: &Person, creator: &Actor) -> Result<(), Rejection> {
        let refused = |role: &str| Err(Rejection::FourEyes { role: role.to_owned() });
        match by.actor().id() {
            id if id == creator.id() => refused("creator"),
            id if Some(id) == self.last_editor.as_ref().map(Actor::id) => refused("last editor"),
            _ => Ok(()),
        }
    }

    fn requires_approval(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.requires_approval)
    }

    pub(super) fn is_approved(&self) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.approved)
    }

    fn scheduled_start(&self) -> Option<DateTime<Utc>> {
        self.spec.as_ref().and_then(|spec| spec.scheduled_start)
    }

    /// Whether it was paused before its scheduled start.
    pub fn is_paused_before_start(&self) -> bool {
        self.status == CampaignStatus::Paused && self.before_pause == CampaignStatus::Scheduled
    }
}

//! The plan that a start names (ADR 35): it is compared with the plan that is made, however long the start has waited for an approval or its
//! time.

use super::{Campaign, CampaignStatus, PlanSummary};
use crate::plan::ExpectedPlan;

impl Campaign {
    /// Whether an earlier start named this plan, with the same `on_drift`.
    pub(super) fn expects(&self, named: &ExpectedPlan) -> bool {
        self.expected
            .as_ref()
            .is_some_and(|standing| (&standing.plan_hash, standing.on_drift) == (&named.plan_hash, named.on_drift))
    }

    /// Whether this is not the plan that the start expects, so that it must not begin.
    pub(super) fn refuses(&self, summary: &PlanSummary) -> bool {
        self.expected.as_ref().is_some_and(|expected| expected.refuses(&summary.plan_hash))
    }

    /// The status after a refused plan. The campaign doesn't start by itself after a refusal, so a scheduled one waits for an operator, too.
    pub(super) fn after_refusal(&self) -> CampaignStatus {
        if self.is_approved() { CampaignStatus::Approved } else { CampaignStatus::Draft }
    }
}

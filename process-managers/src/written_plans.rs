//! Plans whose chunks are in the log, and whose campaigns don't name them yet: the read model is still writing their members.
//!
//! Only in memory: a planner that restarts plans again, and writes the same chunks if no device has changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::CampaignId;
use domain::campaign::PlanSummary;

/// Most plans that wait. The campaigns of further ones name them at once, and other events wait for their members.
const PLANS_MAX: usize = 100;

/// A plan that is written to the log.
#[derive(Debug, Clone)]
pub(crate) struct WrittenPlan {
    pub(crate) summary: PlanSummary,
    /// The campaign's version that it was made for.
    pub(crate) version: u64,
    /// Position at which that version began to be planned.
    pub(crate) planning_position: u64,
    /// Position of its last chunk.
    pub(crate) position: u64,
}

#[derive(Debug)]
struct Entry {
    plan: WrittenPlan,
    /// The present run has found its campaign in planning.
    seen: bool,
}

#[derive(Debug, Default)]
pub(crate) struct WrittenPlans(Mutex<BTreeMap<CampaignId, Entry>>);

impl WrittenPlans {
    /// The plan of a campaign that began to be planned at this position.
    pub(crate) fn get(&self, campaign: CampaignId, planning_position: u64) -> Option<WrittenPlan> {
        let mut plans = self.lock();
        let entry = plans.get_mut(&campaign).filter(|entry| entry.plan.planning_position == planning_position)?;
        entry.seen = true;
        Some(entry.plan.clone())
    }

    /// Keeps a plan; false if there are too many.
    pub(crate) fn keep(&self, campaign: CampaignId, plan: WrittenPlan) -> bool {
        let mut plans = self.lock();
        let has_room = plans.len() < PLANS_MAX || plans.contains_key(&campaign);
        if has_room {
            plans.insert(campaign, Entry { plan, seen: true });
        }
        has_room
    }

    /// After a run over all campaigns: forgets plans of campaigns that aren't in planning any more.
    pub(crate) fn end_run(&self) {
        self.lock().retain(|_, entry| std::mem::take(&mut entry.seen));
    }

    pub(crate) fn forget(&self, campaign: CampaignId) {
        self.lock().remove(&campaign);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CampaignId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Plans for previews: made by the planner's own function, within bounds, and never written.
//!
//! A plan is kept for a while, so that all pages of a preview are of one plan. A process that no longer has it makes it again. If the
//! devices have changed meanwhile, the next page is refused.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use domain::TenantId;
use domain::campaign::CampaignSpec;
use domain::device::FirmwareSnapshot;
use domain::plan::{PlanCounts, PlanDraft, PlanEntry};
use moka::sync::Cache;
use projections::Page;
use projections::rollout::{LeftOut, preview_candidates};
use runtime::clock;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::auth::Caller;
use crate::http::{Paging, Problem};
use crate::state::App;

/// Most devices of one preview, about 100 bytes each.
const PREVIEW_DEVICES_MAX: usize = 1_000_000;
/// Previews that are made at the same time.
const PREVIEWS_AT_ONCE_MAX: usize = 2;
/// How long a request waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Most devices of all plans that are kept.
const DEVICES_KEPT_MAX: u64 = 1_000_000;
/// How long a plan is kept for further pages.
const KEPT: Duration = Duration::from_secs(600);

/// A plan that was made for a preview.
pub(crate) struct PreviewPlan {
    pub(super) spec: CampaignSpec,
    pub(super) firmware: FirmwareSnapshot,
    pub(super) seed: String,
    pub(super) counts: PlanCounts,
    pub(super) hash: String,
    pub(super) at_position: u64,
    /// By wave, rank and device; excluded devices have wave 0.
    pub(super) entries: Vec<PlanEntry>,
}

/// Limits previews, and keeps their plans.
pub(crate) struct Previews {
    turns: Arc<Semaphore>,
    kept: Cache<(TenantId, String), Arc<PreviewPlan>>,
}

impl Default for Previews {
    fn default() -> Self {
        let weight = |_: &(TenantId, String), plan: &Arc<PreviewPlan>| {
            u32::try_from(plan.entries.len()).unwrap_or(u32::MAX).saturating_add(1)
        };
        let kept = Cache::builder().max_capacity(DEVICES_KEPT_MAX + 1).weigher(weight).time_to_live(KEPT).build();
        Self { turns: Arc::new(Semaphore::new(PREVIEWS_AT_ONCE_MAX)), kept }
    }
}

/// What is planned.
pub(super) struct Wanted {
    pub(super) spec: CampaignSpec,
    pub(super) firmware: FirmwareSnapshot,
    pub(super) seed: String,
}

impl Wanted {
    /// The plan of the page that a cursor continues, or a new one for the first page.
    pub(super) async fn plan(
        self,
        app: &App,
        caller: &Caller,
        of_cursor: Option<&str>,
    ) -> Result<Arc<PreviewPlan>, Problem> {
        let Some(hash) = of_cursor else { return self.make(app, caller).await };
        if let Some(plan) = app.previews.kept.get(&(caller.tenant.clone(), hash.to_owned())) {
            let same = plan.spec == self.spec && plan.seed == self.seed;
            return same
                .then_some(plan)
                .ok_or_else(|| Problem::bad_request("the cursor belongs to another specification"));
        }
        let plan = self.make(app, caller).await?;
        if plan.hash == hash {
            return Ok(plan);
        }
        let detail =
            "the devices have changed since the first page, so this is another plan: begin again without a cursor";
        Err(Problem::new(StatusCode::CONFLICT, "preview_changed", detail))
    }

    async fn make(self, app: &App, caller: &Caller) -> Result<Arc<PreviewPlan>, Problem> {
        let busy =
            || Problem::unavailable("previews_busy", format!("{PREVIEWS_AT_ONCE_MAX} previews are being made already"));
        let turn = timeout(TURN_WAIT_MAX, app.previews.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let Self { spec, firmware, seed } = self;
        let mut tx = app.db.read(&caller.tenant).await?;
        let found =
            preview_candidates(&mut tx, &caller.tenant, &spec, &firmware, clock::now(), PREVIEW_DEVICES_MAX).await?;
        drop(tx);
        let Some((candidates, at_position)) = found else {
            let detail = format!("the targets are more than {PREVIEW_DEVICES_MAX} devices, too many for a preview");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_devices", detail));
        };
        // The turn ends with the work, also if the request ends before.
        let making = spawn_blocking(move || {
            let _turn = turn;
            let PlanDraft { mut entries, counts, hash } = PlanDraft::make(&seed, candidates, &spec);
            entries.sort_unstable_by(in_order);
            PreviewPlan { spec, firmware, seed, counts, hash, at_position, entries }
        });
        let plan = Arc::new(making.await.map_err(Problem::internal)?);
        app.previews.kept.insert((caller.tenant.clone(), plan.hash.clone()), plan.clone());
        Ok(plan)
    }
}

fn in_order(one: &PlanEntry, other: &PlanEntry) -> Ordering {
    key(one).cmp(&key(other))
}

fn key(entry: &PlanEntry) -> (u16, u32, &str) {
    (entry.wave, entry.rank, entry.device.as_str())
}

/// Which devices of a preview are listed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EntryFilter {
    pub(super) wave: Option<u16>,
    pub(super) excluded: Option<LeftOut>,
}

impl EntryFilter {
    fn takes(self, entry: &PlanEntry) -> bool {
        self.wave.is_none_or(|wave| wave == entry.wave)
            && match self.excluded {
                None => true,
                Some(LeftOut::Yes) => entry.excluded.is_some(),
                Some(LeftOut::No) => entry.excluded.is_none(),
                Some(LeftOut::For(reason)) => entry.excluded == Some(reason),
            }
    }
}

impl PreviewPlan {
    /// A page of its devices.
    pub(super) fn page(
        &self,
        filter: EntryFilter,
        paging: &Paging,
        after: Option<(u16, u32, &str)>,
    ) -> Page<PlanEntry> {
        let first = after.map_or(0, |after| self.entries.partition_point(|entry| key(entry) <= after));
        let matching = |entries: &'_ [PlanEntry]| entries.iter().filter(|entry| filter.takes(entry)).count() as u64;
        let following = self.entries[first..].iter().filter(|entry| filter.takes(entry));
        let mut items: Vec<PlanEntry> = following.take(paging.limit + 1).cloned().collect();
        let more = items.len() > paging.limit;
        items.truncate(paging.limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|last| vec![self.hash.clone(), last.wave.to_string(), last.rank.to_string(), last.device.to_string()]);
        Page { items, next, total: paging.count.then(|| matching(&self.entries)) }
    }

    /// The first devices of a wave by rank.
    pub(super) fn first_of_wave(&self, wave: u16, count: usize) -> &[PlanEntry] {
        let first = self.entries.partition_point(|entry| entry.wave < wave);
        let end = self.entries.partition_point(|entry| entry.wave <= wave);
        &self.entries[first..end.min(first + count)]
    }

    /// The excluded devices.
    pub(super) fn left_out(&self) -> &[PlanEntry] {
        &self.entries[..self.entries.partition_point(|entry| entry.wave == 0)]
    }
}

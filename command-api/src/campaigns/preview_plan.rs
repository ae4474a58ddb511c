//! Plans for previews: made by the planner's own function, within bounds, and never written.
//!
//! A plan is kept for a while, so that all pages of a preview are of one plan. A process that no longer has it makes it again. If the
//! devices have changed meanwhile, the next page is refused. A cursor names the plan and the digest of what was planned.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::campaign::CampaignSpec;
use domain::device::FirmwareSnapshot;
use domain::fuota::{Forecast, forecast};
use domain::per_transport::{PerTransport, counted_as};
use domain::plan::{PlanCounts, PlanEntry, PreviewedPlan};
use domain::planning::{PlanCandidate, PlanDraft};
use event_store::CommandHash;
use moka::sync::Cache;
use projections::rollout::{LeftOut, preview_candidates};
use projections::{Page, ReadTx};
use runtime::clock;
use tokio::task::spawn_blocking;

use super::preview_slots::{Slots, TenantSlot};
use crate::auth::Caller;
use crate::http::{Paging, Problem};
use crate::state::App;

/// Most devices of one preview, about 100 bytes each.
const PREVIEW_DEVICES_MAX: usize = 1_000_000;
/// Most devices of all plans that are kept.
const DEVICES_KEPT_MAX: u64 = 1_000_000;
/// How long a plan is kept for further pages.
const CACHE_TTL: Duration = Duration::from_secs(600);

/// A plan that was made for a preview.
pub(crate) struct PreviewPlan {
    pub(super) spec: CampaignSpec,
    pub(super) firmware: FirmwareSnapshot,
    pub(super) seed: String,
    pub(super) counts: PlanCounts,
    /// Of its LoRaWAN devices.
    pub(super) lorawan: Forecast,
    pub(super) hash: String,
    /// Of what was planned.
    digest: String,
    pub(super) at_position: u64,
    pub(super) made_at: DateTime<Utc>,
    /// By wave, rank and device; excluded devices have wave 0.
    pub(super) entries: Vec<PlanEntry>,
}

/// Tenant, digest of what was planned, and hash of the plan.
type PlanKey = (TenantId, String, String);

/// Limits previews, and keeps their plans.
pub(crate) struct Previews {
    pub(super) slots: Slots,
    plans: Cache<PlanKey, Arc<PreviewPlan>>,
}

impl Default for Previews {
    fn default() -> Self {
        let weight = |_: &PlanKey, plan: &Arc<PreviewPlan>| {
            u32::try_from(plan.entries.len()).unwrap_or(u32::MAX).saturating_add(1)
        };
        let plans = Cache::builder().max_capacity(DEVICES_KEPT_MAX + 1).weigher(weight).time_to_live(CACHE_TTL).build();
        Self { slots: Slots::default(), plans }
    }
}

/// What is planned.
pub(super) struct PreviewInput {
    pub(super) spec: CampaignSpec,
    pub(super) firmware: FirmwareSnapshot,
    pub(super) seed: String,
}

/// The plan that a cursor continues.
pub(super) struct PlanOfCursor<'a> {
    pub(super) digest: &'a str,
    pub(super) hash: &'a str,
}

impl PreviewInput {
    /// The plan of the page that a cursor continues, or a new one for the first page.
    pub(super) async fn plan(
        self,
        app: &App,
        caller: &Caller,
        slot: TenantSlot,
        of_cursor: Option<PlanOfCursor<'_>>,
    ) -> Result<Arc<PreviewPlan>, Problem> {
        let digest = CommandHash::of(&(&self.spec, &self.firmware, &self.seed)).map_err(Problem::internal)?.to_hex();
        let Some(of_cursor) = of_cursor else { return self.make(app, caller, slot, digest).await };
        if of_cursor.digest != digest {
            return Err(Problem::bad_request("the cursor belongs to another specification, firmware or seed"));
        }
        let hash = of_cursor.hash.to_owned();
        if let Some(plan) = app.previews.plans.get(&(caller.tenant.clone(), digest.clone(), hash.clone())) {
            return Ok(plan);
        }
        let plan = self.make(app, caller, slot, digest).await?;
        if plan.hash == hash {
            return Ok(plan);
        }
        let detail =
            "the devices have changed since the first page, so this is another plan: begin again without a cursor";
        Err(Problem::new(StatusCode::CONFLICT, "preview_changed", detail))
    }

    async fn make(
        self,
        app: &App,
        caller: &Caller,
        slot: TenantSlot,
        digest: String,
    ) -> Result<Arc<PreviewPlan>, Problem> {
        let slots = app.previews.slots.with_process(slot).await?;
        let Self { spec, firmware, seed } = self;
        let made_at = clock::now();
        let mut tx = app.db.read(&caller.tenant).await?;
        let found = preview_candidates(&mut tx, &caller.tenant, &spec, &firmware, made_at, PREVIEW_DEVICES_MAX).await?;
        let lorawan = match &found {
            Some((candidates, _)) => lorawan(&mut tx, &caller.tenant, candidates, &firmware).await?,
            None => Forecast::default(),
        };
        drop(tx);
        let Some((candidates, at_position)) = found else {
            let detail = format!("the targets are more than {PREVIEW_DEVICES_MAX} devices, too many for a preview");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_devices", detail));
        };
        // The slots are free when the work ends, also if the request ends before.
        let making = spawn_blocking(move || {
            let _slots = slots;
            let PlanDraft { mut entries, counts, hash } = PlanDraft::make(&seed, candidates, &spec);
            entries.sort_unstable_by(in_order);
            PreviewPlan { spec, firmware, seed, counts, lorawan, hash, digest, at_position, made_at, entries }
        });
        let plan = Arc::new(making.await.map_err(Problem::internal)?);
        plan.note(app, caller).await;
        let key = (caller.tenant.clone(), plan.digest.clone(), plan.hash.clone());
        app.previews.plans.insert(key, plan.clone());
        Ok(plan)
    }
}

/// How the image would get to the LoRaWAN devices among the candidates, before a sample is taken of them.
async fn lorawan(
    tx: &mut ReadTx,
    tenant: &TenantId,
    candidates: &[PlanCandidate],
    firmware: &FirmwareSnapshot,
) -> Result<Forecast, Problem> {
    let eligible: Vec<_> = candidates.iter().filter(|one| one.excluded.is_none()).map(|one| &one.device).collect();
    let devices = projections::fuota::forecast_devices(tx, tenant, &eligible).await?;
    if devices.is_empty() {
        return Ok(Forecast::default());
    }
    let profiles = projections::lorawan_profiles::of_tenant(tx, tenant).await?;
    Ok(forecast(firmware.size, &devices, &profiles))
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
    /// Stores what was shown. If that fails, the preview still succeeds: only a start that names the plan can't say what has changed.
    async fn note(&self, app: &App, caller: &Caller) {
        let (at_position, at, counts) = (self.at_position, self.made_at, self.counts.clone());
        let previewed = PreviewedPlan { at_position, at, specification: self.spec.plan_digest(&self.seed), counts };
        if let Err(error) = projections::previews::keep(&app.db, &caller.tenant, &self.hash, &previewed).await {
            tracing::warn!(%error, "What a preview has shown could not be stored.");
        }
    }

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
        let keys = |last: &PlanEntry| {
            let place = [last.wave.to_string(), last.rank.to_string(), last.device.to_string()];
            [self.digest.clone(), self.hash.clone()].into_iter().chain(place).collect()
        };
        let next = items.last().filter(|_| more).map(keys);
        Page { items, next, total: paging.count.then(|| matching(&self.entries)) }
    }

    /// The first devices of a wave by rank.
    pub(super) fn first_of_wave(&self, wave: u16, count: usize) -> &[PlanEntry] {
        let first = self.entries.partition_point(|entry| entry.wave < wave);
        let end = self.entries.partition_point(|entry| entry.wave <= wave);
        &self.entries[first..end.min(first + count)]
    }

    /// The devices of each wave, by transport.
    pub(super) fn devices_per_wave(&self) -> Vec<PerTransport<u32>> {
        let mut waves = vec![PerTransport::default(); self.counts.waves.len()];
        for entry in self.entries.iter().filter(|entry| entry.excluded.is_none()) {
            if let Some(wave) = waves.get_mut(usize::from(entry.wave).wrapping_sub(1)) {
                *wave.of_mut(counted_as(entry.lorawan)) += 1;
            }
        }
        waves
    }

    /// The excluded devices.
    pub(super) fn left_out(&self) -> &[PlanEntry] {
        &self.entries[..self.entries.partition_point(|entry| entry.wave == 0)]
    }
}

//! Plans a campaign: reads the devices once, writes plan chunks, commits them with one event. Between the two it waits until the read model
//! has written the members: until then the campaign is in planning, and nobody needs them.
//!
//! A plan's id is derived from its content (ADR 3). So a second planner, or one that restarts after a crash, writes either the same chunks
//! or another plan. Chunks that no `campaign.planned` names are unused.

use chrono::TimeDelta;
use domain::campaign::threads::STARTED;
use domain::campaign::{Campaign, CampaignCommand, CampaignStatus, PlanSummary};
use domain::firmware::{Firmware, FirmwareCommand};
use domain::ids::name_based_uuid;
use domain::plan::{
    CHUNK_DEVICES_MAX, ExpectedPlan, PlanChunk, PlanChunkId, PlanCommand, PlanCounts, PlanEntry, RANK_ALGORITHM,
};
use domain::planning::PlanDraft;
use domain::{CommandId, Key};
use event_store::{Cause, ExecuteError, ExpectedVersion, Request};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use projections::rollout::{self, WorkRow};
use runtime::clock;
use uuid::Uuid;

use crate::reconciler::{Progress, ReconcileError, Reconciler};
use crate::rollout::each_campaign;
use crate::written_plans::WrittenPlan;
use crate::{Context, causes, drift};

/// Chunks under way at the same time.
const CHUNKS_IN_FLIGHT_MAX: usize = 4;
/// Pause between two looks whether the members of a plan are written.
const WRITTEN_LOOK_GAP: TimeDelta = TimeDelta::milliseconds(50);

/// Separate from [`crate::rollout`]: a plan for a million devices takes long, and other campaigns continue meanwhile.
pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "planner", interval: |options| options.rollout_interval, woken_by_events: true, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let progress = each_campaign(context, |context, row| plan_if_due(context, row).boxed()).await?;
        context.written_plans.end_run();
        Ok(progress)
    }
    .boxed()
}

async fn plan_if_due(context: &Context, row: &WorkRow) -> Result<Progress, ReconcileError> {
    if row.status != CampaignStatus::Planning {
        return Ok(Progress::Idle);
    }
    let plan = match context.written_plans.get(row.campaign, row.planning_position) {
        Some(plan) => plan,
        None => match write_plan(context, row).await? {
            Some(plan) => plan,
            None => return Ok(Progress::Idle),
        },
    };
    let (tenant, campaign) = (&row.tenant, &row.campaign);
    let is_written = rollout::is_plan_written(&context.db, tenant, campaign, plan.position).await?;
    if !is_written && context.written_plans.keep(row.campaign, plan.clone()) {
        return Ok(Progress::DueAt(clock::now() + WRITTEN_LOOK_GAP));
    }
    context.written_plans.forget(row.campaign);
    record(context, row, plan).await?;
    Ok(Progress::Idle)
}

/// Makes the plan of a campaign that is in planning, and writes it to the log.
async fn write_plan(context: &Context, row: &WorkRow) -> Result<Option<WrittenPlan>, ReconcileError> {
    let Some(firmware) = &row.firmware else { return Ok(None) };
    let Some(Begun { start, expected, version }) = start_of(context, row).await? else { return Ok(None) };
    let now = clock::now();
    let found = rollout::plan_candidates(&context.db, &row.tenant, &row.spec, firmware, row.planning_position, now);
    let Some((candidates, at_position)) = found.await? else {
        tracing::debug!(campaign.id = %row.campaign, "The devices' read model has not reached the start of a campaign.");
        return Ok(None);
    };
    let seed = row.spec.seed(row.campaign);
    let draft = PlanDraft::make(&seed, candidates, &row.spec);
    let expected = expected.filter(|expected| expected.plan_hash != draft.hash);
    let drift = match &expected {
        Some(expected) => Some(Box::new(drift::explain(context, row, firmware, &seed, &draft, expected).await?)),
        None => None,
    };
    let id = name_based_uuid(&["plan", &row.campaign.to_string(), &draft.hash]);
    if expected.is_some_and(|expected| expected.refuses(&draft.hash)) {
        let summary = PlanSummary { drift, ..summarize(id, 0, draft, seed, at_position) };
        refuse(context, row, summary, version).await?;
        return Ok(None);
    }
    let (chunks, position) = write_chunks(context, row, id, &draft.entries, start).await?;
    let summary = PlanSummary { drift, ..summarize(id, chunks, draft, seed, at_position) };
    Ok(Some(WrittenPlan { summary, version, planning_position: row.planning_position, position }))
}

/// The campaign names its plan.
async fn record(context: &Context, row: &WorkRow, plan: WrittenPlan) -> Result<(), ReconcileError> {
    let WrittenPlan { summary, version, .. } = plan;
    let (id, devices, position) = (summary.plan, summary.devices, summary.at_position);
    let command = CampaignCommand::RecordPlan { summary: Box::new(summary) };
    let id = CommandId::derive(&["record_plan", &row.campaign.to_string(), &id.to_string()]);
    let seen = Some(ExpectedVersion::OneOf(vec![version]));
    let request = Request { expected_version: seen, ..Request::new(id, causes::actor(), command) };
    match context.store.execute(&Key::<Campaign>::new(&row.tenant, &row.campaign), request).await {
        Ok(_) => {
            tracing::info!(campaign.id = %row.campaign, devices, position, "A campaign is planned.");
            Ok(())
        }
        // The plan is of another start, or another planner was faster.
        Err(ExecuteError::Rejected(_) | ExecuteError::Conflict | ExecuteError::VersionDiffers { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The cause of a plan: the correlation id and the record of the campaign's start.
type Start = (Option<Uuid>, Cause);

/// A campaign that is in planning, as the log has it.
struct Begun {
    start: Start,
    expected: Option<Box<ExpectedPlan>>,
    /// The plan is for the campaign at this version only.
    version: u64,
}

/// Returns a campaign to the status before its start, and removes the pin that the start has made.
async fn refuse(context: &Context, row: &WorkRow, summary: PlanSummary, version: u64) -> Result<(), ReconcileError> {
    let firmware = Key::<Firmware>::new(&row.tenant, &row.spec.firmware_id);
    let pinned = context.store.load_fresh(&firmware).await?;
    let key = Key::<Campaign>::new(&row.tenant, &row.campaign);
    let command = CampaignCommand::RefusePlan { summary: Box::new(summary) };
    let seen = Some(ExpectedVersion::OneOf(vec![version]));
    let request =
        Request { expected_version: seen, ..Request::new(CommandId(clock::new_id()), causes::actor(), command) };
    let refused = match context.store.execute(&key, request).await {
        Ok(refused) => refused,
        Err(ExecuteError::Rejected(_) | ExecuteError::Conflict | ExecuteError::VersionDiffers { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    tracing::info!(campaign.id = %row.campaign, position = refused.position, "A campaign's plan is not the expected one.");
    let campaign = context.store.load_fresh(&key).await?;
    if campaign.aggregate.status.is_live() {
        return Ok(());
    }
    // Only if nothing has changed since: the next start may have pinned it already. A pin that stays is removed by the next start.
    let request = Request {
        expected_version: Some(ExpectedVersion::OneOf(vec![pinned.version])),
        correlation_id: causes::correlation_id(&campaign),
        cause: causes::last(&campaign),
        ..Request::new(CommandId(clock::new_id()), causes::actor(), FirmwareCommand::Unpin { campaign: row.campaign })
    };
    match context.store.execute(&firmware, request).await {
        Ok(_) | Err(ExecuteError::VersionDiffers { .. } | ExecuteError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The start of a campaign that is in planning, from the log: the row may lag or be of an earlier start, and the plan may exist already.
async fn start_of(context: &Context, row: &WorkRow) -> Result<Option<Begun>, ReconcileError> {
    let campaign = context.store.load_fresh(&Key::<Campaign>::new(&row.tenant, &row.campaign)).await?;
    let cause = causes::at(&campaign, &[STARTED]);
    let is_of_row = matches!(cause, Cause::Record(started) if started.position == row.planning_position);
    let begun = Begun {
        start: (causes::correlation_id(&campaign), cause),
        expected: campaign.aggregate.expected.clone(),
        version: campaign.version,
    };
    Ok(Some(begun).filter(|_| is_of_row && campaign.aggregate.status == CampaignStatus::Planning))
}

/// Returns the number of chunks, and the position of the last one.
async fn write_chunks(
    context: &Context,
    row: &WorkRow,
    plan: Uuid,
    entries: &[PlanEntry],
    start: Start,
) -> Result<(u32, u64), ReconcileError> {
    let chunks = entries.chunks(CHUNK_DEVICES_MAX);
    let count = chunks.len() as u32;
    let writes = (0..count).zip(chunks);
    let writes = writes.map(|(index, entries)| write_chunk(context, row, plan, index, entries, start).boxed());
    let writes: Vec<BoxFuture<'_, _>> = writes.collect();
    let positions = futures::stream::iter(writes).buffer_unordered(CHUNKS_IN_FLIGHT_MAX);
    let last = positions.try_fold(0, |last, position| async move { Ok(position.max(last)) }).await?;
    Ok((count, last))
}

async fn write_chunk(
    context: &Context,
    row: &WorkRow,
    plan: Uuid,
    index: u32,
    entries: &[PlanEntry],
    (correlation_id, cause): Start,
) -> Result<u64, ReconcileError> {
    let key = Key::<PlanChunk>::new(&row.tenant, &PlanChunkId { plan, index });
    let command = PlanCommand::Write { campaign: row.campaign, plan, index, entries: entries.to_vec() };
    let id = CommandId::derive(&["write_chunk", &plan.to_string(), &index.to_string()]);
    let request = Request { correlation_id, cause, ..Request::new(id, causes::actor(), command) };
    Ok(context.store.execute(&key, request).await?.position)
}

fn summarize(plan: Uuid, chunks: u32, draft: PlanDraft, seed: String, at_position: u64) -> PlanSummary {
    let PlanCounts { devices, excluded, waves } = draft.counts;
    let (algorithm, plan_hash) = (RANK_ALGORITHM.to_owned(), draft.hash);
    PlanSummary { plan, chunks, devices, excluded, waves, seed, algorithm, at_position, plan_hash, drift: None }
}

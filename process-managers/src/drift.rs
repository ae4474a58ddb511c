//! Says how a plan differs from the one that was previewed.
//!
//! The previewed plan was never written, so it is computed again: devices without an event since the preview are unchanged; the others, and
//! those that joined or left a static target group, are loaded from the log as of that position. The hash proves that it is the same plan.
//! Otherwise the drift has only the numbers of both plans, and the reason.

use std::collections::{BTreeMap, BTreeSet};

use domain::device::{Device, FirmwareSnapshot};
use domain::group::Group;
use domain::plan::{ExpectedPlan, PlanChanges, PlanDrift, PreviewedPlan, Unexplained};
use domain::planning::{PlanCandidate, PlanDraft, TargetGroups, candidate_of};
use domain::{DeviceId, Key};
use event_store::At;
use futures::{StreamExt, TryStreamExt};
use projections::rollout::{self, WorkRow};

use crate::Context;
use crate::reconciler::ReconcileError;

/// Most changed devices that are loaded from the log.
const CHANGED_MAX: usize = 5_000;
/// Devices that are loaded at the same time.
const LOADS_IN_FLIGHT_MAX: usize = 64;

/// How the plan differs from the expected one.
pub(crate) async fn explain(
    context: &Context,
    row: &WorkRow,
    firmware: &FirmwareSnapshot,
    seed: &str,
    plan: &PlanDraft,
    expected: &ExpectedPlan,
) -> Result<PlanDrift, ReconcileError> {
    let before = match &expected.previewed {
        None => Err(Unexplained::PreviewUnknown),
        Some(previewed) => previewed_plan(context, row, firmware, seed, expected, previewed).await?,
    };
    let changes = before.as_ref().ok().map(|before| PlanChanges::between(&before.entries, &plan.entries));
    Ok(PlanDrift {
        previewed_hash: expected.plan_hash.clone(),
        previewed: expected.previewed.clone(),
        changes,
        unexplained: before.err(),
    })
}

/// The plan that the preview made, proved by its hash.
async fn previewed_plan(
    context: &Context,
    row: &WorkRow,
    firmware: &FirmwareSnapshot,
    seed: &str,
    expected: &ExpectedPlan,
    previewed: &PreviewedPlan,
) -> Result<Result<PlanDraft, Unexplained>, ReconcileError> {
    let groups_then = groups(context, row, Some(previewed.at_position)).await?;
    let groups_now = groups(context, row, None).await?;
    let made = recompute(context, row, firmware, seed, previewed, &groups_then, &groups_now).await?;
    Ok(match made {
        Ok(plan) if plan.hash == expected.plan_hash => Ok(plan),
        _ if previewed.specification != row.spec.plan_digest(seed) => Err(Unexplained::SpecificationChanged),
        _ if groups_then.filters != groups_now.filters => Err(Unexplained::GroupFilterChanged),
        Ok(_) => Err(Unexplained::NotReproducible),
        Err(reason) => Err(reason),
    })
}

/// The plan that a preview at that position and time made of today's specification.
async fn recompute(
    context: &Context,
    row: &WorkRow,
    firmware: &FirmwareSnapshot,
    seed: &str,
    previewed: &PreviewedPlan,
    groups_then: &TargetGroups,
    groups_now: &TargetGroups,
) -> Result<Result<PlanDraft, Unexplained>, ReconcileError> {
    let (db, tenant, spec) = (&context.db, &row.tenant, &row.spec);
    let found = rollout::plan_candidates(db, tenant, spec, firmware, previewed.at_position, previewed.at).await?;
    let Some((candidates, _)) = found else { return Ok(Err(Unexplained::NotReproducible)) };
    // Read after the candidates, so that it has every device that has changed in them.
    let changed = rollout::devices_changed_since(db, tenant, previewed.at_position, CHANGED_MAX + 1).await?;
    let moved = groups_then.members.symmetric_difference(&groups_now.members).cloned();
    let changed: BTreeSet<DeviceId> = changed.into_iter().chain(moved).collect();
    if changed.len() > CHANGED_MAX {
        return Ok(Err(Unexplained::TooManyChanges));
    }
    let loads = changed.into_iter().map(async |id| {
        let past = context.store.load_at(&Key::<Device>::new(tenant, &id), At::Position(previewed.at_position)).await?;
        let candidate = candidate_of(&past.aggregate, &id, spec, groups_then, firmware, previewed.at);
        Ok::<_, ReconcileError>((id, candidate))
    });
    let past: BTreeMap<DeviceId, Option<PlanCandidate>> =
        futures::stream::iter(loads).buffer_unordered(LOADS_IN_FLIGHT_MAX).try_collect().await?;
    let unchanged = candidates.into_iter().filter(|candidate| !past.contains_key(&candidate.device));
    let all = unchanged.chain(past.values().flatten().cloned()).collect();
    Ok(Ok(PlanDraft::make(seed, all, spec)))
}

/// The target groups at a position, or now.
async fn groups(context: &Context, row: &WorkRow, position: Option<u64>) -> Result<TargetGroups, ReconcileError> {
    let mut groups = Vec::new();
    for id in &row.spec.target_groups {
        let key = Key::<Group>::new(&row.tenant, id);
        groups.push(match position {
            Some(position) => context.store.load_at(&key, At::Position(position)).await?.aggregate,
            None => context.store.load_fresh(&key).await?.aggregate.clone(),
        });
    }
    Ok(TargetGroups::of(groups.iter().map(|group| &**group)))
}

//! Plans deployments for waiting devices, and refuses images that are too large for their region.

use domain::device::{Device, DeviceCommand, Report, ReportStatus};
use domain::fuota::{DeploymentPlan, FuotaCommand, FuotaDeployment, Gathered, PendingTransfer, PlannedDevice, gather};
use domain::thread::Thread;
use domain::{Key, Sealed, TenantId};
use event_store::Standing;
use projections::lorawan_profiles;
use runtime::clock;

use super::worker::{send, send_after};
use super::{LIVE_MAX, Work};
use crate::Context;
use crate::reconciler::{Progress, ReconcileError};

/// Code of an update whose image is larger than what the device's region can carry.
const CODE_TOO_LARGE: &str = "x_too_large_for_lorawan";
/// Deployments of the same devices and attempts, each of which ended without sending anything.
const ROUNDS_MAX: u16 = 16;

/// Plans what is due. Profiles that are missing for that are added to the work of the tenant's worker. Returns when the next group is due.
pub(super) async fn plan(
    context: &Context,
    tenant: &TenantId,
    pending: &[PendingTransfer],
    work: &mut Work,
) -> Result<Progress, ReconcileError> {
    let profiles = lorawan_profiles::known(&context.db, tenant).await?;
    let unknown = pending.iter().map(|one| &one.device_profile_id).filter(|id| !profiles.contains_key(*id));
    work.profiles.extend(unknown.cloned());
    let Gathered { plans, too_large, due_at } = gather(pending, &profiles, clock::now());
    for pending in &too_large {
        refuse(context, tenant, pending).await?;
    }
    let free = LIVE_MAX.saturating_sub(work.live.len());
    for plan in plans.into_iter().take(free) {
        record(context, tenant, plan).await?;
    }
    Ok(due_at.map_or(Progress::Idle, Progress::DueAt))
}

async fn record(context: &Context, tenant: &TenantId, plan: DeploymentPlan) -> Result<(), ReconcileError> {
    for round in 0..ROUNDS_MAX {
        let key = Key::<FuotaDeployment>::new(tenant, &plan.id(tenant, round));
        let known = context.store.load_fresh(&key).await?;
        if known.aggregate.phase.is_ended() {
            continue;
        }
        let accepted = match plan.devices.first() {
            Some(first) => accepted(context, tenant, first).await?,
            None => None,
        };
        return send_after(&context.store, &key, FuotaCommand::Plan { plan: Box::new(plan) }, accepted).await;
    }
    Ok(())
}

/// The latest record of a device's update: a deployment follows from it.
async fn accepted(
    context: &Context,
    tenant: &TenantId,
    planned: &PlannedDevice,
) -> Result<Option<Standing>, ReconcileError> {
    let loaded = context.store.load(&Key::<Device>::new(tenant, &planned.device)).await?;
    Ok(loaded.threads.last(Thread(planned.ordinal)))
}

async fn refuse(context: &Context, tenant: &TenantId, pending: &PendingTransfer) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(tenant, &pending.device);
    let report = Report {
        ordinal: pending.ordinal,
        attempt: pending.attempt,
        status: ReportStatus::Rejected,
        sha256: None,
        code: Some(CODE_TOO_LARGE.to_owned()),
        message: Some(Sealed::Plain(format!("{} bytes are more than the region can carry", pending.size))),
        retry_after_s: None,
    };
    send(&context.store, &key, DeviceCommand::ReportTransfer { report }).await
}

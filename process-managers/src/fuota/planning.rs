//! Plans deployments for waiting devices, and refuses images that are too large for their region.

use std::collections::BTreeMap;

use domain::device::{Device, DeviceCommand, Report, ReportStatus};
use domain::fuota::{DeploymentPlan, FuotaCommand, FuotaDeployment, Gathered, PendingTransfer, gather};
use domain::lorawan_profile::ProfileFacts;
use domain::{Key, Sealed};
use runtime::clock;

use super::worker::{Stop, Worker, send};
use super::{LIVE_MAX, Work};
use crate::reconciler::ReconcileError;

/// Code of an update whose image is larger than what the device's region can carry.
const CODE_TOO_LARGE: &str = "x_too_large_for_lorawan";
/// Deployments of the same devices and attempts, each of which ended without sending anything.
const ROUNDS_MAX: u16 = 16;

pub(super) async fn plan(
    worker: &Worker<'_>,
    work: &Work,
    profiles: &BTreeMap<String, ProfileFacts>,
) -> Result<(), Stop> {
    let Gathered { plans, too_large, .. } = gather(&work.pending, profiles, clock::now());
    for pending in &too_large {
        refuse(worker, pending).await?;
    }
    let free = LIVE_MAX.saturating_sub(work.live.len());
    for plan in plans.into_iter().take(free) {
        record(worker, plan).await?;
    }
    Ok(())
}

async fn record(worker: &Worker<'_>, plan: DeploymentPlan) -> Result<(), ReconcileError> {
    let store = &worker.tools.store;
    for round in 0..ROUNDS_MAX {
        let key = Key::<FuotaDeployment>::new(worker.tenant, &plan.id(worker.tenant, round));
        let known = store.load_fresh(&key).await?;
        if known.aggregate.phase.is_ended() {
            continue;
        }
        return send(store, &key, FuotaCommand::Plan { plan: Box::new(plan) }).await;
    }
    Ok(())
}

async fn refuse(worker: &Worker<'_>, pending: &PendingTransfer) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(worker.tenant, &pending.device);
    let report = Report {
        ordinal: pending.ordinal,
        attempt: pending.attempt,
        status: ReportStatus::Rejected,
        sha256: None,
        code: Some(CODE_TOO_LARGE.to_owned()),
        message: Some(Sealed::Plain(format!("{} bytes are more than the region can carry", pending.size))),
        retry_after_s: None,
    };
    send(&worker.tools.store, &key, DeviceCommand::ReportTransfer { report }).await
}

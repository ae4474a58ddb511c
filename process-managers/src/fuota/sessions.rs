//! The claim on a device's EUI that keeps it in one deployment at a time: over there a device's answers go to its latest one.

use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::fuota::{
    DEPLOYMENT, DeviceEnd, FuotaCommand, FuotaDeployment, PlannedDevice, REASON_OTHER_DEPLOYMENT, TransferOutcome,
};
use domain::{FuotaDeploymentId, Key, Rejection};
use event_store::{ExecuteError, Standing};

use super::worker::{Worker, request_after, send, send_after};
use crate::reconciler::ReconcileError;

/// Claims the devices for a deployment. Those that another one has are taken out of it.
pub(super) async fn claim(
    worker: &Worker<'_>,
    id: FuotaDeploymentId,
    devices: Vec<PlannedDevice>,
) -> Result<(), ReconcileError> {
    let mut ends = Vec::new();
    for device in devices {
        if !claim_one(worker, id, &device.dev_eui).await? {
            let reason = Some(REASON_OTHER_DEPLOYMENT);
            ends.push(DeviceEnd::new(device.device, TransferOutcome::Withdrawn, reason));
        }
    }
    if ends.is_empty() {
        return Ok(());
    }
    let key = Key::<FuotaDeployment>::new(worker.tenant, &id);
    send(&worker.tools.store, &key, FuotaCommand::EndDevices { ends }).await
}

async fn claim_one(worker: &Worker<'_>, id: FuotaDeploymentId, dev_eui: &str) -> Result<bool, ReconcileError> {
    let Some(owner) = make(worker, id, dev_eui).await? else { return Ok(true) };
    if !is_gone(worker, &owner).await? {
        return Ok(false);
    }
    // Its deployment ended, and the process with it, before the claim was released.
    release(worker, id, &owner, dev_eui).await?;
    Ok(make(worker, id, dev_eui).await?.is_none())
}

/// Makes the claim; returns who has it, if that is another.
async fn make(worker: &Worker<'_>, id: FuotaDeploymentId, dev_eui: &str) -> Result<Option<String>, ReconcileError> {
    let key = key(worker, dev_eui);
    let command = ClaimCommand::Make { owner: id.to_string() };
    let request = request_after(command, standing(worker, id).await?);
    match worker.tools.store.execute(&key, request).await {
        Err(ExecuteError::Rejected(Rejection::ClaimTaken { owner })) => Ok(Some(owner)),
        Ok(_) => Ok(None),
        // It is not known whether it was made. The next run asks again.
        Err(error) => Err(error.into()),
    }
}

async fn is_gone(worker: &Worker<'_>, owner: &str) -> Result<bool, ReconcileError> {
    let Ok(id) = owner.parse::<FuotaDeploymentId>() else { return Ok(true) };
    let key = Key::<FuotaDeployment>::new(worker.tenant, &id);
    Ok(worker.tools.store.load_fresh(&key).await?.aggregate.is_gone())
}

/// Releases the claims of a deployment that is over.
pub(super) async fn release_all(
    worker: &Worker<'_>,
    id: FuotaDeploymentId,
    devices: &[PlannedDevice],
) -> Result<(), ReconcileError> {
    for device in devices {
        release(worker, id, &id.to_string(), &device.dev_eui).await?;
    }
    Ok(())
}

/// Releases the owner's claim, on behalf of a deployment.
async fn release(worker: &Worker<'_>, id: FuotaDeploymentId, owner: &str, dev_eui: &str) -> Result<(), ReconcileError> {
    let command = ClaimCommand::Release { owner: owner.to_owned() };
    send_after(&worker.tools.store, &key(worker, dev_eui), command, standing(worker, id).await?).await
}

/// The latest record of a deployment.
async fn standing(worker: &Worker<'_>, id: FuotaDeploymentId) -> Result<Option<Standing>, ReconcileError> {
    let loaded = worker.tools.store.load(&Key::<FuotaDeployment>::new(worker.tenant, &id)).await?;
    Ok(loaded.threads.last(DEPLOYMENT))
}

fn key(worker: &Worker<'_>, dev_eui: &str) -> Key<Claim> {
    Key::new(worker.tenant, &ClaimId::new(ClaimKind::FuotaSession, dev_eui))
}

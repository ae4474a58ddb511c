//! Reports progress and outcome of a transfer to the device's update, and the end of an update to the deployment.

use domain::device::{Device, DeviceCommand, Report, ReportStatus};
use domain::fuota::{DeviceEnd, FuotaCommand, FuotaDeployment, REASON_UPDATE_CHANGED, TransferOutcome};
use domain::{DeviceId, FuotaDeploymentId, Key, Sealed, TenantId};
use futures::FutureExt;
use projections::fuota::{self, TransferReport};

use super::worker::send;
use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError};

/// Code of an update whose image did not arrive.
const CODE_DOWNLOAD_FAILED: &str = "download_failed";
/// Most devices in one run.
const DEVICES_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

/// Reports to updates and deployments what they don't have yet.
pub(super) async fn report_both(context: &Context) -> Result<Progress, ReconcileError> {
    let withdrawn = fuota::withdrawn(&context.db, DEVICES_MAX).await?;
    let reports = fuota::reports_due(&context.db, DEVICES_MAX).await?;
    let is_full = withdrawn.len() == DEVICES_MAX || reports.len() == DEVICES_MAX;
    let withdrawals = withdrawn.into_iter().map(|(tenant, id, device)| withdraw(context, tenant, id, device).boxed());
    reconciler::run_bounded(withdrawals.collect(), IN_FLIGHT_MAX).await?;
    let reports = reports.into_iter().map(|due| report(context, due).boxed());
    reconciler::run_bounded(reports.collect(), IN_FLIGHT_MAX).await?;
    Ok(Progress::of(is_full))
}

async fn withdraw(
    context: &Context,
    tenant: TenantId,
    id: FuotaDeploymentId,
    device: DeviceId,
) -> Result<(), ReconcileError> {
    let end = DeviceEnd::new(device, TransferOutcome::Withdrawn, Some(REASON_UPDATE_CHANGED));
    let key = Key::<FuotaDeployment>::new(&tenant, &id);
    send(&context.store, &key, FuotaCommand::EndDevices { ends: vec![end] }).await
}

async fn report(context: &Context, due: TransferReport) -> Result<(), ReconcileError> {
    let TransferReport { tenant, device, ordinal, attempt, status, reason } = due;
    let failed = status == ReportStatus::Failed;
    let report = Report {
        ordinal,
        attempt,
        status,
        sha256: None,
        code: failed.then(|| CODE_DOWNLOAD_FAILED.to_owned()),
        message: reason.filter(|_| failed).map(Sealed::Plain),
        retry_after_s: None,
    };
    send(&context.store, &Key::<Device>::new(&tenant, &device), DeviceCommand::ReportTransfer { report }).await
}

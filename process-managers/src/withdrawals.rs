//! Takes back updates of firmware that was withdrawn or deleted: waiting ones at once, begun ones by a `cancel` to their device. From
//! *installing* on they run to their end.

use domain::device::{Device, DeviceCommand};
use domain::firmware::{FIRMWARE, Firmware, TAKEN_AWAY};
use domain::{CommandId, DeviceId, FirmwareId, Key, TenantId};
use event_store::{Cause, Request};
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::withdrawals;
use runtime::clock;

use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Most devices told in one run.
const DEVICES_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "withdrawals", interval: |options| options.rollout_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let waiting = withdrawals::due(&context.db, DEVICES_MAX).await?;
        let count = waiting.len();
        let commands = waiting.into_iter().map(|(tenant, device, id)| take_out(context, tenant, device, id).boxed());
        reconciler::run_bounded(commands.collect(), IN_FLIGHT_MAX).await?;
        Ok(Progress::of(count == DEVICES_MAX))
    }
    .boxed()
}

async fn take_out(
    context: &Context,
    tenant: TenantId,
    device: DeviceId,
    firmware_id: FirmwareId,
) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(&tenant, &device);
    let command = DeviceCommand::WithdrawFirmware { firmware_id };
    let cause = taken_away(context, &tenant, firmware_id).await?;
    let request = Request { cause, ..Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command) };
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}

/// The record that withdrew or deleted the firmware.
pub(crate) async fn taken_away(
    context: &Context,
    tenant: &TenantId,
    firmware_id: FirmwareId,
) -> Result<Cause, ReconcileError> {
    let key = Key::<Firmware>::new(tenant, &firmware_id);
    let place = [(FIRMWARE, TAKEN_AWAY)];
    let standing = match context.store.load(&key).await?.threads.newest(&place) {
        None => context.store.load_fresh(&key).await?.threads.newest(&place),
        known => known,
    };
    Ok(standing.map_or(Cause::Thread, |standing| Cause::Record(standing.record)))
}

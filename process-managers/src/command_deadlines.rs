//! Clocks of commands that devices run beside their updates: tells a device's aggregate that the time of one is over.
//!
//! The aggregate compares the times again, so a row that lags does no harm.

use domain::device::{Device, DeviceCommand};
use domain::{CommandId, Key};
use event_store::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::device_commands::{self, DueCommand};
use projections::watermark::Watermark;
use runtime::clock;

use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Most commands handled in one run.
const DUE_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler = Reconciler {
    name: "command_deadlines",
    interval: |options| options.deadline_interval,
    woken_by_events: false,
    run,
};

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let watermark = Watermark::read(&context.db).await?;
        let due = device_commands::due(&context.db, &watermark, clock::now(), DUE_MAX).await?;
        let count = due.len();
        let commands = due.into_iter().map(|due| expire(context, due).boxed()).collect();
        reconciler::run_bounded(commands, IN_FLIGHT_MAX).await?;
        Ok(Progress::of(count == DUE_MAX))
    }
    .boxed()
}

async fn expire(context: &Context, DueCommand { tenant, device, n }: DueCommand) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(&tenant, &device);
    let command = DeviceCommand::ExpireCommand { n };
    // State is the guard (ADR 5).
    let request = Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command);
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}

//! Tells devices that the preconditions of an update are met. Campaigns check theirs when they grant slots.

use domain::device::{Device, DeviceCommand};
use domain::{CommandId, Key};
use event_store::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::preconditions::{self, Cleared};
use runtime::clock;

use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Devices read at a time; each run covers all.
const PAGE_DEVICES: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "preconditions", interval: |options| options.rollout_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let now = clock::now();
        let mut last = None;
        loop {
            let page = preconditions::cleared(&context.db, last.as_ref(), now, PAGE_DEVICES).await?;
            let commands = page.iter().cloned().map(|cleared| proceed(context, cleared).boxed());
            reconciler::run_bounded(commands.collect(), IN_FLIGHT_MAX).await?;
            let full = page.len() == PAGE_DEVICES;
            last = page.into_iter().next_back();
            if !full {
                return Ok(Progress::Idle);
            }
        }
    }
    .boxed()
}

async fn proceed(context: &Context, cleared: Cleared) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(&cleared.tenant, &cleared.device);
    let command = DeviceCommand::Proceed { ordinal: cleared.ordinal, seq: cleared.seq };
    let request = Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command);
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}

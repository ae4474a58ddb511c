//! Clocks of updates: tells a device's aggregate that a time limit has passed, with the state that the row had.
//!
//! The command names ordinal, attempt and phase, so a row that lags does no harm.

use domain::device::{Device, DeviceCommand};
use domain::{CommandId, Key};
use event_store::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::deadlines::{self, DueClock};
use projections::watermark::Watermark;
use runtime::clock;

use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Most clocks handled in one run.
const DUE_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "deadlines", interval: |options| options.deadline_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let now = clock::now();
        let watermark = Watermark::read(&context.db).await?;
        context.lag.note(&watermark, now);
        let due = deadlines::due(&context.db, &watermark, now, DUE_MAX).await?;
        let count = due.len();
        let commands = due.into_iter().map(|due| expire(context, due).boxed()).collect();
        reconciler::run_bounded(commands, IN_FLIGHT_MAX).await?;
        Ok(Progress::of(count == DUE_MAX))
    }
    .boxed()
}

async fn expire(context: &Context, due: DueClock) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(&due.tenant, &due.device);
    let DueClock { ordinal, attempt, phase, clock, seq, .. } = due;
    let command = DeviceCommand::Expire { ordinal, attempt, phase, clock, seq };
    // State is the guard (ADR 5): one attempt may expire twice in the same phase, so an id derived from these fields would be reused.
    let request = Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command);
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}

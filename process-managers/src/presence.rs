//! Notices devices that are gone: by the last will of their latest session, debounced, or by silence.
//!
//! A broker that restarts makes every device say goodbye and hello again; debouncing keeps that out of the log.

use domain::device::{Device, DeviceCommand, OfflineCause};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::{Request, clock};
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::presence;

use crate::Context;
use crate::loops::{self, Progress, Tick, TickError};

/// Most devices marked in one tick.
const GONE_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const TICK: Tick =
    Tick { name: "presence", interval: |options| options.presence_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, TickError>> {
    async move {
        let options = &context.options;
        let gone =
            presence::gone(&context.db, clock::now(), options.offline_debounce, options.silence, GONE_MAX).await?;
        let count = gone.len();
        let commands = gone
            .into_iter()
            .map(|(tenant, device, cause)| mark_offline(context, tenant, device, cause).boxed())
            .collect();
        loops::all(commands, IN_FLIGHT_MAX).await?;
        Ok(Progress::of(count == GONE_MAX))
    }
    .boxed()
}

async fn mark_offline(
    context: &Context,
    tenant: TenantId,
    device: DeviceId,
    cause: OfflineCause,
) -> Result<(), TickError> {
    let key = Key::<Device>::new(&tenant, &device);
    let request = Request::new(CommandId(clock::new_id()), actor(), DeviceCommand::MarkOffline { cause });
    loops::alone(context.store.execute(&key, request).await, key.raw())
}

fn actor() -> Actor {
    Actor::new("process-manager:presence").unwrap_or_else(|_| unreachable!("a valid actor"))
}

//! Detects devices that are offline: by the last will of their latest session, after a delay, or by silence.
//!
//! When a broker restarts, every device's last will is sent and every device reconnects; the delay keeps that out of the log. Contact is
//! not an event, so a device may come back between the read and the command without its aggregate knowing. The next run finds devices that
//! were marked by mistake, and sets them online again.

use domain::device::{Device, DeviceCommand};
use domain::{CommandId, DeviceId, Key, TenantId};
use event_store::{ExpectedVersion, Request};
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::presence;
use projections::watermark::Watermark;
use runtime::clock;

use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Most devices marked in one run.
const GONE_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "presence", interval: |options| options.presence_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let (options, now) = (&context.options, clock::now());
        let watermark = Watermark::read(&context.db).await?;
        let mistaken = presence::mistaken(&context.db, now, options.silence, GONE_MAX).await?;
        let gone =
            presence::gone(&context.db, &watermark, now, options.offline_debounce, options.silence, GONE_MAX).await?;
        let moved = gone.len() == GONE_MAX || mistaken.len() == GONE_MAX;
        let back = mistaken.into_iter().map(|(tenant, device, version)| {
            // Only if the device has not changed since: other parts handle newer events.
            ask(context, tenant, device, DeviceCommand::SeenOnline, Some(ExpectedVersion::OneOf(vec![version]))).boxed()
        });
        let away = gone.into_iter().map(|(tenant, device, cause)| {
            ask(context, tenant, device, DeviceCommand::MarkOffline { cause }, None).boxed()
        });
        reconciler::run_bounded(back.chain(away).collect(), IN_FLIGHT_MAX).await?;
        Ok(Progress::of(moved))
    }
    .boxed()
}

async fn ask(
    context: &Context,
    tenant: TenantId,
    device: DeviceId,
    command: DeviceCommand,
    seen: Option<ExpectedVersion>,
) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(&tenant, &device);
    let request =
        Request { expected_version: seen, ..Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command) };
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}

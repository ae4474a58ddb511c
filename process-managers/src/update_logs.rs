//! Removes logs of updates that are kept long enough, and those of closed tenants.

use futures::FutureExt;
use futures::future::BoxFuture;
use projections::update_logs;

use crate::Context;
use crate::reconciler::{Progress, ReconcileError, Reconciler};

/// Pieces removed in one run.
const REMOVED_MAX: usize = 1_000;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "update_logs", interval: |options| options.log_removal_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move { Ok(Progress::of(update_logs::remove_old(&context.db, REMOVED_MAX).await?)) }.boxed()
}

//! Removes what tenants have kept for the time that they set: logs of updates, downloads of single devices, measurements.

use futures::FutureExt;
use futures::future::BoxFuture;
use projections::retention;

use crate::Context;
use crate::reconciler::{Progress, ReconcileError, Reconciler};

/// Rows of each table that one step removes.
const REMOVED_MAX: usize = 1_000;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "retention", interval: |options| options.retention_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move { Ok(Progress::of(retention::remove_old(&context.db, REMOVED_MAX).await?)) }.boxed()
}

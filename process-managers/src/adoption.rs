//! Adopts the tenants of an older log: they have records, and nobody has created them.

use domain::tenant::{Tenant, TenantCommand};
use domain::{CommandId, Key};
use event_store::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::tenants;
use runtime::clock;

use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Tenants adopted in one run.
const ADOPTED_MAX: usize = 500;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "adoption", interval: |options| options.adoption_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let found = tenants::without_row(&context.db, ADOPTED_MAX).await?;
        for tenant in &found {
            let key = Key::<Tenant>::new(tenant, tenant);
            let request = Request::new(CommandId(clock::new_id()), RECONCILER.actor(), TenantCommand::Adopt);
            reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())?;
        }
        Ok(Progress::of(found.len() == ADOPTED_MAX))
    }
    .boxed()
}

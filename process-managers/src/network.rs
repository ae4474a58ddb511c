//! Writes copies of LoRaWAN devices into the network servers (ChirpStack) of their tenants, removes those that are left over, and finds what
//! was changed over there (ADR 66).
//!
//! Rows say which devices are due; the device's aggregate says what its copy should be, and every report names the fingerprint that was
//! believed. So a row that lags, a repeated report and a crash between two calls do no harm. Each tenant has its own worker, and its own pauses
//! while its ChirpStack doesn't answer: a hanging one holds up no other tenant. Requests don't wait for this.

mod copy;
pub(crate) mod import;
pub(crate) mod pause;
mod server;
mod sweep;
mod sync;
pub(crate) mod turns;
mod worker;
mod workers;

use domain::TenantId;
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::network::{self, ConnectedTenant};

use crate::Context;
use crate::reconciler::{Progress, ReconcileError, Reconciler};

pub(crate) use server::{Server, ServerError};
pub(crate) use workers::Workers;

/// Tenants read at a time.
const TENANTS_PAGE: usize = 500;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "network", interval: |options| options.network_interval, woken_by_events: true, run };

/// Begins the work of each tenant that has some and whose worker is free.
fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let mut after: Option<TenantId> = None;
        loop {
            let tenants = network::connected(&context.db, after.as_ref(), TENANTS_PAGE).await?;
            let Some(last) = tenants.last().map(|connected| connected.tenant.clone()) else {
                return Ok(Progress::Idle);
            };
            let is_last = tenants.len() < TENANTS_PAGE;
            begin(context, tenants).await?;
            if is_last {
                return Ok(Progress::Idle);
            }
            after = Some(last);
        }
    }
    .boxed()
}

async fn begin(context: &Context, tenants: Vec<ConnectedTenant>) -> Result<(), ReconcileError> {
    let ids: Vec<TenantId> = tenants.iter().map(|connected| connected.tenant.clone()).collect();
    let pending = network::with_pending(&context.db, &ids).await?;
    for connected in tenants {
        let has_pending = pending.contains(&connected.tenant);
        worker::begin(context, &connected, has_pending);
        sweep::begin(context, &connected);
    }
    Ok(())
}

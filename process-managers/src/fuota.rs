//! Sends whole images to LoRaWAN devices as FUOTA deployments of their tenants' ChirpStack (ADR 68).
//!
//! A device that has accepted its update waits until its group is complete; the group becomes a deployment, which is recorded, created over
//! there, started and polled until it has ended for every device, and then deleted. The progress and the outcome for a device are reported to the
//! device's update, which judges them like a report of the device.
//!
//! Rows say what is due, aggregates decide, and ChirpStack's list says what exists over there, so a crash between any two calls and a second
//! process do no harm. Each tenant has its own worker and its own pauses: a hanging ChirpStack holds up no other tenant. Plans, withdrawals and
//! reports need no ChirpStack and are not held up by it.

mod advance;
mod calls;
mod observe;
mod planning;
mod sessions;
mod transfer;
mod worker;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use domain::TenantId;
use domain::fuota::PendingTransfer;
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::fuota::{self, LiveDeployment};
use projections::{lorawan_profiles, network};

use crate::Context;
use crate::reconciler::{Progress, ReconcileError, Reconciler};

pub(crate) use workers::Workers;

/// Tenants read at a time.
const TENANTS_PAGE: usize = 500;
/// Waiting devices of one tenant in one run.
const PENDING_MAX: usize = 1_000;
/// Unknown device profiles in one run.
const PROFILES_MAX: usize = 1_000;
/// Deployments of one tenant at the same time.
const LIVE_MAX: usize = 50;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "fuota", interval: |options| options.network_interval, woken_by_events: true, run };

/// What a tenant's worker has to do.
#[derive(Default)]
struct Work {
    /// Device profiles that were not read yet.
    profiles: BTreeSet<String>,
    live: Vec<LiveDeployment>,
}

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let reported = transfer::report_both(context).await?;
        let mut work: BTreeMap<TenantId, Work> = BTreeMap::new();
        for (tenant, profile) in lorawan_profiles::unknown(&context.db, PROFILES_MAX).await? {
            work.entry(tenant).or_default().profiles.insert(profile);
        }
        for live in fuota::live(&context.db, LIVE_MAX).await? {
            work.entry(live.tenant.clone()).or_default().live.push(live);
        }
        let mut pending: BTreeMap<TenantId, Vec<PendingTransfer>> = BTreeMap::new();
        for (tenant, one) in fuota::pending(&context.db, PENDING_MAX).await? {
            pending.entry(tenant).or_default().push(one);
        }
        let mut due_at = Progress::Idle;
        for (tenant, pending) in pending {
            let work = work.entry(tenant.clone()).or_default();
            due_at = due_at.and(planning::plan(context, &tenant, &pending, work).await?);
        }
        begin(context, work).await?;
        Ok(reported.and(due_at))
    }
    .boxed()
}

/// Begins the work of each tenant whose worker is free.
async fn begin(context: &Context, mut work: BTreeMap<TenantId, Work>) -> Result<(), ReconcileError> {
    let mut after: Option<TenantId> = None;
    loop {
        let tenants = network::connected(&context.db, after.as_ref(), TENANTS_PAGE).await?;
        let is_last = tenants.len() < TENANTS_PAGE;
        after = tenants.last().map(|connected| connected.tenant.clone());
        for connected in &tenants {
            let work = work.remove(&connected.tenant).unwrap_or_default();
            worker::begin(context, connected, work);
        }
        if is_last {
            return Ok(());
        }
    }
}

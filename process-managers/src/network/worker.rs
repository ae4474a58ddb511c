//! One tenant's worker: takes its devices that are due, some at a time, until none is left or the network server doesn't answer.

use std::sync::Arc;

use domain::device::{Device, DeviceCommand, NetworkCommand, SyncState};
use domain::tenant::Tenant;
use domain::{CommandId, DeviceId, Key, TenantId};
use event_store::{EventStore, ExecuteError, ExpectedVersion, Request, SecretStore};
use futures::{FutureExt, StreamExt, TryStreamExt};
use projections::Db;
use projections::network::{self, ConnectedTenant};
use runtime::clock;
use runtime::outward::Outward;

use super::RECONCILER;
use super::server::{Server, ServerError};
use super::sync::{NotDone, Parts};
use super::workers::{BROKEN_TRIES_MAX, Workers};
use crate::Context;
use crate::reconciler::{self, ReconcileError};

/// Devices read at a time.
const PAGE: usize = 200;
/// Devices of one tenant at the same time.
const IN_FLIGHT_MAX: usize = 8;

/// Why a worker stops before everything is done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the tenant has another connection, or none")]
    Replaced,
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

/// What a worker has of the process.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) store: EventStore,
    pub(super) db: Db,
    pub(super) secrets: SecretStore,
    /// Where the address of a ChirpStack may lead.
    pub(super) outward: Outward,
    pub(super) workers: Arc<Workers>,
}

impl Tools {
    /// None in a process without secrets.
    pub(super) fn of(context: &Context) -> Option<Self> {
        Some(Self {
            store: context.store.clone(),
            db: context.db.clone(),
            secrets: context.secrets.clone()?,
            outward: context.options.outward.clone(),
            workers: context.network.clone(),
        })
    }
}

/// Starts the tenant's worker, unless it is at work or there is nothing to do.
pub(super) fn begin(context: &Context, connected: &ConnectedTenant, has_pending: bool) {
    let Some(tools) = Tools::of(context) else { return };
    let Some(place) = tools.workers.begin(&connected.tenant, connected.revision, has_pending) else { return };
    let (connected, stop) = (connected.clone(), context.tasks.token().clone());
    context.tasks.spawn("network sync of a tenant", async move {
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = work(&tools, &connected) => outcome,
        };
        if let Err(reason) = &outcome {
            tracing::warn!(tenant.id = %connected.tenant, %reason, "Devices of a tenant can't be synced now and are tried again.");
            count("away");
        }
        place.leave(outcome.is_ok());
    });
}

async fn work(tools: &Tools, connected: &ConnectedTenant) -> Result<(), Stop> {
    let ConnectedTenant { tenant, connection, revision } = connected;
    let server = Server::of(tenant, connection, &tools.secrets, &tools.outward).await?;
    let worker = Worker { tools, tenant, revision: *revision, server: &server };
    if tools.workers.retries_refused(tenant, *revision) {
        let mut after = None;
        loop {
            let page = network::refused_before(&tools.db, tenant, *revision, after.as_ref(), PAGE).await;
            let page = page.map_err(ReconcileError::from)?;
            let Some(last) = page.last().cloned() else { break };
            worker.sync_all(page).await?;
            after = Some(last);
        }
        tools.workers.refused_retried(tenant, *revision);
    }
    let mut after = None;
    loop {
        let page = network::pending(&tools.db, tenant, after.as_ref(), PAGE).await.map_err(ReconcileError::from)?;
        let Some(last) = page.last().cloned() else { return Ok(()) };
        worker.sync_all(page).await?;
        after = Some(last);
    }
}

struct Worker<'a> {
    tools: &'a Tools,
    tenant: &'a TenantId,
    revision: u64,
    server: &'a Server,
}

impl Worker<'_> {
    /// Brings devices in step, unless the tenant has another connection by now, or none.
    async fn sync_all(&self, devices: Vec<DeviceId>) -> Result<(), Stop> {
        let tenant = self.tools.store.load_fresh(&Key::<Tenant>::new(self.tenant, self.tenant)).await;
        let tenant = tenant.map_err(ReconcileError::from)?;
        if tenant.aggregate.chirpstack_in_use().is_none_or(|(_, revision)| revision != self.revision) {
            return Err(Stop::Replaced);
        }
        let waits = |device: &DeviceId| self.tools.workers.waits(self.tenant, device);
        let due = devices.into_iter().filter(|device| !waits(device));
        let synced = futures::stream::iter(due).map(|device| self.sync(device).boxed());
        synced.buffer_unordered(IN_FLIGHT_MAX).try_for_each(|()| futures::future::ready(Ok(()))).await
    }

    async fn sync(&self, device: DeviceId) -> Result<(), Stop> {
        let Tools { store, secrets, workers, .. } = self.tools;
        let key = Key::<Device>::new(self.tenant, &device);
        let loaded = store.load_fresh(&key).await.map_err(ReconcileError::from)?;
        let Some(network) = loaded.aggregate.network().filter(|network| self.is_due(network)) else { return Ok(()) };
        let parts = Parts { server: self.server, store, secrets, tenant: self.tenant, device: &device };
        let mut reports = Vec::new();
        let outcome = parts.sync(network, loaded.aggregate.network_identity(), &mut reports).await;
        let mut version = loaded.version;
        for wanted in reports {
            count(if matches!(wanted, NetworkCommand::RecordRemoved { .. }) { "removed" } else { "synced" });
            version = tell(store, &key, wanted).await?.unwrap_or(version);
        }
        let Err(NotDone { of, error }) = outcome else {
            workers.done(self.tenant, &device);
            return Ok(());
        };
        let (code, reason) = match error {
            away @ ServerError::Away(_) => return Err(away.into()),
            ServerError::Broken(reason) if workers.wait(self.tenant, &device) < BROKEN_TRIES_MAX => {
                tracing::warn!(tenant.id = %self.tenant, device.id = %device, %reason, "A device can't be synced and is tried again.");
                count("broken");
                return Ok(());
            }
            ServerError::Broken(reason) => ("server_error", reason),
            ServerError::Refused { code, reason } => (code, reason),
            ServerError::KeyRefused => ("key_refused", "ChirpStack does not take the API key".to_owned()),
        };
        workers.done(self.tenant, &device);
        count("failed");
        let failed =
            NetworkCommand::RecordFailed { of, code: code.to_owned(), reason, connection: Some(self.revision) };
        // What was recorded since, such as a refusal of a newer connection, is newer than this refusal.
        tell_at(store, &key, failed, version).await?;
        Ok(())
    }

    fn is_due(&self, network: &domain::device::Network) -> bool {
        match network.state() {
            SyncState::Pending => true,
            SyncState::Failed => {
                let connection = network.failure.as_ref().and_then(|failure| failure.connection);
                connection.is_some_and(|connection| connection != self.revision)
            }
            SyncState::Synced | SyncState::NotApplicable => false,
        }
    }
}

/// Sends a report to the device; returns the device's version then.
async fn tell(store: &EventStore, key: &Key<Device>, wanted: NetworkCommand) -> Result<Option<u64>, ReconcileError> {
    let command = DeviceCommand::Network { wanted };
    let request = Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command);
    let told = store.execute(key, request).await;
    let version = told.as_ref().ok().map(|told| told.version);
    reconciler::log_and_continue(told, key.raw()).map(|()| version)
}

/// The same, unless something was recorded since this version of the device: the report would be older. Says whether it was sent.
pub(super) async fn tell_at(
    store: &EventStore,
    key: &Key<Device>,
    wanted: NetworkCommand,
    version: u64,
) -> Result<bool, ReconcileError> {
    let command = DeviceCommand::Network { wanted };
    let expected_version = Some(ExpectedVersion::OneOf(vec![version]));
    let request = Request { expected_version, ..Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command) };
    let told = store.execute(key, request).await;
    let is_newer = !matches!(told, Err(ExecuteError::VersionDiffers { .. } | ExecuteError::Conflict));
    reconciler::log_and_continue(told, key.raw()).map(|()| is_newer)
}

pub(super) fn count(outcome: &'static str) {
    metrics::counter!("waybill_network_syncs_total", "outcome" => outcome).increment(1);
}

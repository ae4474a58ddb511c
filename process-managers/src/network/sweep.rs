//! Looks from time to time whether somebody has edited, disabled or deleted copies over there.
//!
//! Pages of an application, in the order of EUIs, are laid beside the rows of the same range. What differs is asked for singly before it is
//! reported, because pages shift while others write. A device that was not changed over there since the last sweep is not asked for.

use std::collections::BTreeMap;

use chirpstack::grpc::device::{DeviceListItem, DeviceOrder, ListDevicesRequest};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Key;
use domain::device::{Device, NetworkCommand, NetworkDrift};
use projections::network::{self, ConnectedTenant, SyncedDevice};
use runtime::clock;

use super::copy;
use super::server::{Server, ServerError, plain};
use super::worker::{Tools, count, tell};
use crate::Context;
use crate::reconciler::ReconcileError;

/// Devices of a page.
const PAGE: u32 = 100;
/// Most rows between two EUIs of a page. More are looked at in the next sweep.
const ROWS_MAX: usize = 1_000;
/// Most applications of a tenant.
const APPLICATIONS_MAX: usize = 1_000;
/// Clocks of the two servers differ by less than this.
const CLOCKS_DIFFER_MAX: TimeDelta = TimeDelta::minutes(10);

#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("{0:?}")]
    Server(ServerError),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

/// Starts the tenant's sweep, if it is due.
pub(super) fn begin(context: &Context, connected: &ConnectedTenant) {
    let Some(tools) = Tools::of(context) else { return };
    let interval = context.options.network_sweep_interval;
    let Some(before) = tools.workers.begin_sweep(&connected.tenant, interval) else { return };
    let began = clock::now();
    // Everything in the first sweep of this process.
    let since = before.map_or(DateTime::UNIX_EPOCH, |before| before - CLOCKS_DIFFER_MAX);
    let (connected, stop) = (connected.clone(), context.tasks.token().clone());
    context.tasks.spawn("network sweep of a tenant", async move {
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = sweep(&tools, &connected, since) => outcome,
        };
        let is_whole = outcome.is_ok();
        if let Err(reason) = outcome {
            tracing::warn!(tenant.id = %connected.tenant, %reason, "A sweep over a tenant's network server has stopped and is repeated.");
        }
        tools.workers.sweep_ended(&connected.tenant, is_whole.then_some(began));
    });
}

async fn sweep(tools: &Tools, connected: &ConnectedTenant, since: DateTime<Utc>) -> Result<(), Stop> {
    let ConnectedTenant { tenant, connection, .. } = connected;
    let server = Server::of(tenant, connection, &tools.secrets, &tools.outward).await.map_err(Stop::Server)?;
    let applications =
        network::applications(&tools.db, tenant, APPLICATIONS_MAX).await.map_err(ReconcileError::from)?;
    for application in applications {
        let sweep = Sweep { tools, connected, server: &server, application: &application, since };
        match sweep.application().await {
            // Another application goes on. That this one is gone is found by its devices.
            Ok(()) | Err(Stop::Server(ServerError::Refused { .. } | ServerError::Broken(_))) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

struct Sweep<'a> {
    tools: &'a Tools,
    connected: &'a ConnectedTenant,
    server: &'a Server,
    application: &'a str,
    /// What was changed over there before is known.
    since: DateTime<Utc>,
}

impl Sweep<'_> {
    async fn application(&self) -> Result<(), Stop> {
        let (mut offset, mut after) = (0, String::new());
        loop {
            let page = self.page(offset).await?;
            let is_last = page.len() < PAGE as usize;
            let last = page.keys().next_back().cloned().filter(|_| !is_last);
            let rows = network::synced(
                &self.tools.db,
                &self.connected.tenant,
                self.application,
                (&after, last.as_deref()),
                ROWS_MAX,
            );
            for row in rows.await.map_err(ReconcileError::from)? {
                if self.may_differ(&row, page.get(&row.dev_eui)) {
                    self.look(&row).await?;
                }
            }
            let Some(last) = last else { return Ok(()) };
            (offset, after) = (offset + PAGE, last);
        }
    }

    async fn page(&self, offset: u32) -> Result<BTreeMap<String, DeviceListItem>, Stop> {
        let request = ListDevicesRequest {
            limit: PAGE,
            offset,
            application_id: self.application.to_owned(),
            order_by: DeviceOrder::DevEui as i32,
            ..ListDevicesRequest::default()
        };
        let page = match self.server.client.list_devices(request).await {
            Ok(page) => page,
            // An application that is gone has no devices, and a refused key says the same.
            Err(chirpstack::grpc::Error::Unauthenticated { .. } | chirpstack::grpc::Error::NotFound { .. }) => {
                self.server.key_works().await.map_err(Stop::Server)?;
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(Stop::Server(plain(error))),
        };
        Ok(page.result.into_iter().map(|item| (item.dev_eui.to_ascii_lowercase(), item)).collect())
    }

    fn may_differ(&self, row: &SyncedDevice, item: Option<&DeviceListItem>) -> bool {
        let Some(item) = item else { return true };
        let changed_at = item.updated_at.as_ref().and_then(|at| DateTime::from_timestamp(at.seconds, 0));
        changed_at.is_none_or(|at| at >= self.since)
            || item.device_profile_id != row.copy.device_profile_id
            || self.name(row).is_some_and(|name| copy::shortened(name) != item.name)
            || row.copy.is_disabled
            || !row.copy.edited.is_empty()
    }

    /// The name that was written, if one was.
    fn name<'r>(&self, row: &'r SyncedDevice) -> Option<&'r str> {
        row.name.as_deref().or_else(|| row.copy.created.then_some(row.device.as_str()))
    }

    /// Asks for one device, and reports what differs.
    async fn look(&self, row: &SyncedDevice) -> Result<(), Stop> {
        let found = self.server.find(&row.dev_eui).await.map_err(Stop::Server)?;
        let drift = match found {
            None => NetworkDrift::Removed,
            Some(found) => {
                let (name, profile) = (self.name(row), row.copy.device_profile_id.as_str());
                let edited = copy::edited(&found.device, &row.device, self.application, name, profile);
                let is_disabled = found.device.is_disabled;
                if is_disabled == row.copy.is_disabled && edited == row.copy.edited {
                    return Ok(());
                }
                NetworkDrift::Seen { is_disabled, edited }
            }
        };
        count("drifted");
        let key = Key::<Device>::new(&self.connected.tenant, &row.device);
        let fingerprint = row.copy.fingerprint.clone();
        Ok(tell(&self.tools.store, &key, NetworkCommand::RecordDrift { fingerprint, drift }).await?)
    }
}

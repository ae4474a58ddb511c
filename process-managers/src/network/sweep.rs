//! Looks from time to time whether somebody has edited, disabled or deleted copies over there.
//!
//! Pages of an application, in the order of EUIs, are laid beside the rows of the same range. What differs is asked for singly before it is
//! reported, because pages shift while others write. A device is not asked for if it was not changed over there since the last whole look at
//! its application began. A process asks for all devices in its first look at an application, and again when the tenant has another
//! connection. A look that an error ended was not whole.
//!
//! A sweep has a bounded time and goes on later where it stopped, so servers that are slow do not keep the places of all sweeps.

use std::collections::BTreeMap;
use std::time::Duration;

use chirpstack::grpc::device::{DeviceListItem, DeviceOrder, ListDevicesRequest};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Key;
use domain::device::{Device, NetworkCommand, NetworkDrift};
use projections::network::{self, ConnectedTenant, SyncedDevice};
use runtime::clock;
use tokio::time::timeout;

use super::copy;
use super::server::{Server, ServerError};
use super::worker::{Tools, count, tell_at};
use super::workers::{Position, Swept};
use crate::Context;
use crate::reconciler::ReconcileError;

/// Devices of a page.
const PAGE: u32 = 100;
/// Pages of an application. What comes after them is not looked at.
const PAGES_MAX: u32 = 10_000;
/// Rows read at a time.
const ROWS_MAX: usize = 1_000;
/// Most applications of a tenant.
const APPLICATIONS_MAX: usize = 1_000;
/// How long a sweep of one tenant may take. The next one goes on where it stopped.
const SWEEP_TIME_MAX: Duration = Duration::from_secs(120);
/// Looks at a device of which something is recorded during each.
const LOOKS_MAX: usize = 3;
/// Clocks of the two servers differ by less than this.
const CLOCKS_DIFFER_MAX: TimeDelta = TimeDelta::minutes(10);

#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("there was no time for the rest")]
    NoTime,
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

/// Starts the tenant's sweep, if it is due.
pub(super) fn begin(context: &Context, connected: &ConnectedTenant) {
    let Some(tools) = Tools::of(context) else { return };
    let interval = context.options.network_sweep_interval;
    let Some(mut begun) = tools.workers.begin_sweep(&connected.tenant, interval) else { return };
    let (connected, stop) = (connected.clone(), context.tasks.token().clone());
    context.tasks.spawn("network sweep of a tenant", async move {
        let swept = timeout(SWEEP_TIME_MAX, sweep(&tools, &connected, &mut begun.swept));
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = swept => outcome.unwrap_or(Err(Stop::NoTime)),
        };
        if let Err(reason) = outcome {
            tracing::warn!(tenant.id = %connected.tenant, %reason, "A sweep over a tenant's network server has stopped and goes on later.");
        }
        tools.workers.sweep_ended(begun);
    });
}

async fn sweep(tools: &Tools, connected: &ConnectedTenant, swept: &mut Swept) -> Result<(), Stop> {
    let ConnectedTenant { tenant, connection, .. } = connected;
    let server = Server::of(tenant, connection, &tools.secrets, &tools.outward).await?;
    let applications =
        network::applications(&tools.db, tenant, APPLICATIONS_MAX).await.map_err(ReconcileError::from)?;
    for application in &applications[swept.resume(&applications)..] {
        let since = swept.seen_until.get(application).map_or(DateTime::UNIX_EPOCH, |began| *began - CLOCKS_DIFFER_MAX);
        let position = swept.stopped_at.get_or_insert_with(|| Position::first(application, clock::now()));
        let began = position.began;
        let sweep = Sweep { tools, connected, server: &server, application, since };
        match sweep.application(position).await {
            Ok(()) => {
                swept.seen_until.insert(application.clone(), began);
            }
            // The other applications are looked at. The next sweep begins with this one's first device again.
            Err(Stop::Server(ServerError::Refused { .. } | ServerError::Broken(_))) => {}
            Err(other) => return Err(other),
        }
        swept.stopped_at = None;
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
    /// Looks at the application from a position on, and moves it with each device.
    async fn application(&self, position: &mut Position) -> Result<(), Stop> {
        while position.offset < PAGES_MAX * PAGE {
            let page = self.page(position.offset).await?;
            self.compare(&page, position).await?;
            let Some(last) = page.last else { return Ok(()) };
            position.offset += PAGE;
            // Never back, also when a page is out of order.
            position.after = std::mem::take(&mut position.after).max(last);
        }
        tracing::warn!(tenant.id = %self.connected.tenant, application = self.application, "An application has too many devices: not all are looked at.");
        Ok(())
    }

    /// Lays a page beside the rows after a position.
    async fn compare(&self, page: &Page, position: &mut Position) -> Result<(), Stop> {
        loop {
            let range = (position.after.as_str(), page.last.as_deref());
            let rows = network::synced(&self.tools.db, &self.connected.tenant, self.application, range, ROWS_MAX).await;
            let rows = rows.map_err(ReconcileError::from)?;
            let are_all = rows.len() < ROWS_MAX;
            for row in rows {
                if self.may_differ(&row, page.items.get(&row.dev_eui)) {
                    self.look(&row).await?;
                }
                position.after = row.dev_eui;
            }
            if are_all {
                return Ok(());
            }
        }
    }

    async fn page(&self, offset: u32) -> Result<Page, Stop> {
        let request = ListDevicesRequest {
            limit: PAGE,
            offset,
            application_id: self.application.to_owned(),
            order_by: DeviceOrder::DevEui as i32,
            ..ListDevicesRequest::default()
        };
        let items = match self.server.client.list_devices(request).await {
            Ok(page) => page.result,
            Err(error) => {
                // An application that is gone has no devices.
                self.server.confirm_unknown(error).await?;
                Vec::new()
            }
        };
        Ok(Page::of(items))
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

    /// Looks at one device, and again if something was recorded of it meanwhile.
    async fn look(&self, row: &SyncedDevice) -> Result<(), Stop> {
        for _ in 0..LOOKS_MAX {
            if self.look_once(row).await? {
                return Ok(());
            }
        }
        Err(ServerError::Broken(format!("device {} changes too often", row.device)).into())
    }

    /// Asks for one device, and reports what differs. False if something was recorded of it meanwhile.
    async fn look_once(&self, row: &SyncedDevice) -> Result<bool, Stop> {
        let key = Key::<Device>::new(&self.connected.tenant, &row.device);
        // Loaded before the look: what is recorded meanwhile is newer than what is seen.
        let before = self.tools.store.load_fresh(&key).await.map_err(ReconcileError::from)?;
        let Some(copy) = before.aggregate.network().and_then(|network| network.copy.as_ref()) else { return Ok(true) };
        if copy.fingerprint != row.copy.fingerprint {
            return Ok(true);
        }
        let found = self.server.find(&row.dev_eui).await?;
        let drift = match found {
            None => NetworkDrift::Removed,
            Some(found) => {
                let (name, profile) = (self.name(row), row.copy.device_profile_id.as_str());
                let edited = copy::edited(&found.device, &row.device, self.application, name, profile);
                let is_disabled = found.device.is_disabled;
                if is_disabled == copy.is_disabled && edited == copy.edited {
                    return Ok(true);
                }
                NetworkDrift::Seen { is_disabled, edited }
            }
        };
        count("drifted");
        let seen = NetworkCommand::RecordDrift { fingerprint: copy.fingerprint.clone(), drift };
        Ok(tell_at(&self.tools.store, &key, seen, before.version).await?)
    }
}

/// A page of an application's devices over there.
struct Page {
    items: BTreeMap<String, DeviceListItem>,
    /// The EUI up to which it reaches; none on the last page, which has no bound.
    last: Option<String>,
}

impl Page {
    fn of(items: Vec<DeviceListItem>) -> Self {
        let is_last = items.len() < PAGE as usize;
        let items: BTreeMap<_, _> = items.into_iter().map(|item| (item.dev_eui.to_ascii_lowercase(), item)).collect();
        let last = items.keys().next_back().cloned().filter(|_| !is_last);
        Self { items, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_that_is_not_full_is_the_last_one() {
        let items = |count: u32| {
            let item = |number| DeviceListItem { dev_eui: format!("{number:016X}"), ..DeviceListItem::default() };
            (0..count).map(item).collect::<Vec<_>>()
        };
        assert_eq!(Page::of(items(PAGE)).last.as_deref(), Some("0000000000000063"));
        assert_eq!(Page::of(items(PAGE - 1)).last, None);
        let repeated = vec![items(1).remove(0); PAGE as usize];
        assert!(Page::of(repeated).last.is_some(), "a page with the same device again and again is full");
    }
}

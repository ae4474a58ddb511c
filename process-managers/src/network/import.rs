//! Imports devices that somebody creates in a tenant's ChirpStack, of the applications that the tenant's connection names.
//!
//! Waybill gets each new device as `POST /devices/import/chirpstack` would. What is or was registered here under the same EUI or id is left
//! alone: a device that was decommissioned here stays decommissioned. Tenants are looked at side by side and within a bound, so one whose
//! ChirpStack hangs holds up no other tenant.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chirpstack::grpc::Error;
use chirpstack::grpc::device::{DeviceListItem, DeviceOrder, ListDevicesRequest};
use chirpstack::import::ImportedDevice;
use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::device::{Device, DeviceCommand, Profile};
use domain::tenant::Tenant;
use domain::values::{Transport, is_short_text};
use domain::{CommandId, DeviceId, Key, Rejection, Sealed, TenantId};
use event_store::{ExecuteError, Request};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use projections::network::{self, ConnectedTenant};
use projections::tenants;
use runtime::clock;
use tokio::time::{Instant, timeout};

use super::server::{Server, ServerError, plain};
use crate::Context;
use crate::reconciler::{self, Progress, ReconcileError, Reconciler};

/// Tenants read at a time.
const TENANTS_PAGE: usize = 500;
/// Tenants whose ChirpStack is asked at the same time.
const TENANTS_AT_ONCE: usize = 64;
/// How long one tenant's turn may take. What is left is done in the next turn.
const TURN_MAX: Duration = Duration::from_secs(8);
/// Devices of a page.
const PAGE: u32 = 200;
/// Devices of an application that are looked at.
const LISTED_MAX: u32 = 100_000;
/// Applications up to this size are listed in each turn; larger ones when their number of devices changes.
const SMALL: u32 = 1_000;
/// Longest pause between two lists of a large application: a device may have come while another one went.
const LARGE_INTERVAL: Duration = Duration::from_secs(300);
/// How long devices that are not imported are not read again.
const PASSED_OVER_FOR: Duration = Duration::from_secs(300);
/// Devices of that kind that are remembered. When there are more, all are read again.
const PASSED_OVER_MAX: usize = 50_000;

pub(crate) const RECONCILER: Reconciler = Reconciler {
    name: "network_import",
    interval: |options| options.network_import_interval,
    woken_by_events: false,
    run,
};

/// What was seen, in memory: after a restart everything is looked at again.
#[derive(Default)]
pub(crate) struct Seen(Mutex<SeenParts>);

#[derive(Default)]
struct SeenParts {
    applications: HashMap<(TenantId, String), Listing>,
    passed_over: HashMap<(TenantId, String), Instant>,
}

/// How far an application was listed.
#[derive(Default)]
struct Listing {
    /// How many devices it had when its last list was complete, and when that was.
    complete: Option<(u32, Instant)>,
    /// Where the list goes on that a turn has not completed; else 0.
    offset: u32,
}

impl Seen {
    fn parts(&self) -> std::sync::MutexGuard<'_, SeenParts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to list an application that has this number of devices; none if it is not due.
    fn due_from(&self, application: &(TenantId, String), count: u32) -> Option<u32> {
        let parts = self.parts();
        let Some(Listing { complete, offset }) = parts.applications.get(application) else { return Some(0) };
        let is_known = complete.is_some_and(|(before, at)| before == count && at.elapsed() < LARGE_INTERVAL);
        (count <= SMALL || *offset > 0 || !is_known).then_some(*offset)
    }

    fn listed_to(&self, application: &(TenantId, String), offset: u32) {
        self.parts().applications.entry(application.clone()).or_default().offset = offset;
    }

    fn listed(&self, application: (TenantId, String), count: u32) {
        let listing = Listing { complete: Some((count, Instant::now())), offset: 0 };
        self.parts().applications.insert(application, listing);
    }

    fn is_passed_over(&self, device: &(TenantId, String)) -> bool {
        self.parts().passed_over.get(device).is_some_and(|at| at.elapsed() < PASSED_OVER_FOR)
    }

    fn pass_over(&self, device: (TenantId, String)) {
        let mut parts = self.parts();
        if parts.passed_over.len() >= PASSED_OVER_MAX {
            parts.passed_over.clear();
        }
        parts.passed_over.insert(device, Instant::now());
    }
}

/// Why a tenant's turn ended early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the tenant may have no more devices")]
    Full,
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Server(plain(error))
    }
}

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let mut after: Option<TenantId> = None;
        loop {
            let tenants = network::connected(&context.db, after.as_ref(), TENANTS_PAGE).await?;
            let last = tenants.last().map(|connected| connected.tenant.clone());
            let is_last = tenants.len() < TENANTS_PAGE;
            let turns = tenants.into_iter().filter(|connected| !connected.connection.auto_import.is_empty());
            futures::stream::iter(turns).for_each_concurrent(TENANTS_AT_ONCE, |turn| one_turn(context, turn)).await;
            if is_last {
                return Ok(Progress::Idle);
            }
            after = last;
        }
    }
    .boxed()
}

async fn one_turn(context: &Context, connected: ConnectedTenant) {
    let reason = match timeout(TURN_MAX, import(context, &connected)).await {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => reason.to_string(),
        Err(_) => "there was no time for the rest".to_owned(),
    };
    tracing::warn!(tenant.id = %connected.tenant, reason, "An import from a tenant's network server has stopped and goes on later.");
}

async fn import(context: &Context, connected: &ConnectedTenant) -> Result<(), Stop> {
    let Some(secrets) = &context.secrets else { return Ok(()) };
    let server = Server::of(&connected.tenant, &connected.connection, secrets, &context.options.outward).await?;
    let turn = Turn { context, tenant: &connected.tenant, server };
    for application in &connected.connection.auto_import {
        match turn.application(application).await {
            // One application that is gone doesn't hold up the others.
            Err(Stop::Server(ServerError::Refused { reason, .. })) => {
                tracing::warn!(tenant.id = %connected.tenant, application, reason, "An application can't be imported.");
            }
            other => other?,
        }
    }
    Ok(())
}

struct Turn<'a> {
    context: &'a Context,
    tenant: &'a TenantId,
    server: Server,
}

impl Turn<'_> {
    async fn application(&self, application: &str) -> Result<(), Stop> {
        let client = &self.server.client;
        let request = ListDevicesRequest {
            application_id: application.to_owned(),
            order_by: DeviceOrder::DevEui.into(),
            ..ListDevicesRequest::default()
        };
        let count = match client.list_devices(request.clone()).await {
            Ok(page) => page.total_count,
            Err(error) => {
                self.server.confirm_unknown(error).await?;
                return Err(ServerError::refused("application_unknown", "the application is unknown").into());
            }
        };
        let seen = &self.context.imports;
        let key = (self.tenant.clone(), application.to_owned());
        let Some(mut offset) = seen.due_from(&key, count) else { return Ok(()) };
        while offset < LISTED_MAX {
            let page = client.list_devices(ListDevicesRequest { limit: PAGE, offset, ..request.clone() }).await?.result;
            let is_last = page.len() < PAGE as usize;
            self.devices(page).await?;
            if is_last {
                break;
            }
            offset += PAGE;
            seen.listed_to(&key, offset);
        }
        seen.listed(key, count);
        Ok(())
    }

    /// Registers those of a page that are new here.
    async fn devices(&self, page: Vec<DeviceListItem>) -> Result<(), Stop> {
        let euis: Vec<String> = page.into_iter().map(|item| item.dev_eui.to_ascii_lowercase()).collect();
        let known = network::by_dev_eui(&self.context.db, self.tenant, &euis).await.map_err(ReconcileError::from)?;
        for eui in euis.iter().filter(|eui| !known.contains_key(*eui)) {
            let device = (self.tenant.clone(), eui.clone());
            if !self.context.imports.is_passed_over(&device) && !self.device(eui).await? {
                self.context.imports.pass_over(device);
            }
        }
        Ok(())
    }

    /// Registers a device; false if it is not to be imported.
    async fn device(&self, eui: &str) -> Result<bool, Stop> {
        let Some(found) = self.server.find(eui).await? else { return Ok(false) };
        let imported = ImportedDevice::of(&found.device, is_short_text);
        let Ok(id) = DeviceId::new(imported.device_id.as_str()) else { return Ok(false) };
        let key = Key::<Device>::new(self.tenant, &id);
        let before = self.context.store.load_fresh(&key).await.map_err(ReconcileError::from)?;
        if before.version > 0 {
            return Ok(false);
        }
        self.has_room().await?;
        if !self.claim(eui, ClaimCommand::Make { owner: id.to_string() }).await? {
            return Ok(false);
        }
        let command = DeviceCommand::Register { profile: profile(imported), versions: BTreeMap::new() };
        match self.context.store.execute(&key, self.request(command)).await {
            Ok(_) => Ok(true),
            Err(ExecuteError::Rejected(_)) => {
                self.claim(eui, ClaimCommand::Release { owner: id.to_string() }).await?;
                Ok(false)
            }
            outcome => reconciler::log_and_continue(outcome, key.raw()).map(|()| false).map_err(Stop::from),
        }
    }

    /// Makes or releases the claim of an EUI; false if another device has it.
    async fn claim(&self, eui: &str, command: ClaimCommand) -> Result<bool, Stop> {
        let key = Key::<Claim>::new(self.tenant, &ClaimId::new(ClaimKind::LorawanDevEui, eui));
        match self.context.store.execute(&key, self.request(command)).await {
            Ok(_) => Ok(true),
            Err(ExecuteError::Rejected(Rejection::ClaimTaken { .. })) => Ok(false),
            outcome => reconciler::log_and_continue(outcome, key.raw()).map(|()| false).map_err(Stop::from),
        }
    }

    /// The tenant's quota of devices, counted by rows that may lag by the devices of one turn.
    async fn has_room(&self) -> Result<(), Stop> {
        let key = Key::<Tenant>::new(self.tenant, self.tenant);
        let tenant = self.context.store.load(&key).await.map_err(ReconcileError::from)?;
        let Some(limit) = tenant.aggregate.spec.quotas.devices else { return Ok(()) };
        let mut tx = self.context.db.read(self.tenant).await.map_err(ReconcileError::from)?;
        let used = tenants::devices_in_service(&mut tx, limit).await.map_err(ReconcileError::from)?;
        if used < limit { Ok(()) } else { Err(Stop::Full) }
    }

    fn request<C>(&self, command: C) -> Request<C> {
        Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command)
    }
}

fn profile(imported: ImportedDevice) -> Profile {
    Profile {
        name: imported.name.map(Sealed::Plain),
        device_model: imported.device_model,
        lorawan_dev_eui: Some(imported.dev_eui),
        join_eui: imported.join_eui,
        chirpstack_app_id: Some(imported.application_id),
        transport: Transport::default(),
        ..Profile::default()
    }
    .reached_by_identity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_that_a_turn_has_not_completed_goes_on_in_the_next_one() {
        let (seen, large) = (Seen::default(), SMALL + 1);
        let application = (TenantId::new("acme").unwrap(), "app-1".to_owned());
        assert_eq!(seen.due_from(&application, large), Some(0));
        seen.listed_to(&application, PAGE);
        assert_eq!(seen.due_from(&application, large), Some(PAGE));
        seen.listed(application.clone(), large);
        assert_eq!(seen.due_from(&application, large), None);
        assert_eq!(seen.due_from(&application, large + 1), Some(0), "its number of devices has changed");
        assert_eq!(seen.due_from(&application, SMALL), Some(0), "a small one is always due");
        tokio::time::advance(LARGE_INTERVAL).await;
        assert_eq!(seen.due_from(&application, large), Some(0));
    }
}

//! Imports devices that somebody creates in a tenant's ChirpStack, of the applications that the tenant's connection names.
//!
//! Waybill gets each new device as `POST /devices/import/chirpstack` would. What is or was registered here under the same EUI or id is left
//! alone: a device that was decommissioned here stays decommissioned. Tenants are looked at side by side and within a bound, so one whose
//! ChirpStack hangs holds up nobody else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chirpstack::grpc::Error;
use chirpstack::grpc::device::ListDevicesRequest;
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
/// Devices of an application that are looked at.
const LISTED_MAX: usize = 100_000;
/// Applications up to this size are listed in each turn; larger ones when their number of devices changes.
const SMALL: u32 = 1_000;
/// And after so long in any case: a device may have come while another one went.
const LARGE_INTERVAL: Duration = Duration::from_secs(300);
/// Devices that are not imported are not read again for so long.
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
    applications: HashMap<(TenantId, String), (u32, Instant)>,
    passed_over: HashMap<(TenantId, String), Instant>,
}

impl Seen {
    fn parts(&self) -> std::sync::MutexGuard<'_, SeenParts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an application with so many devices is to be listed.
    fn is_due(&self, application: &(TenantId, String), count: u32) -> bool {
        let known = self.parts().applications.get(application).copied();
        count <= SMALL || known.is_none_or(|(before, at)| before != count || at.elapsed() >= LARGE_INTERVAL)
    }

    fn listed(&self, application: (TenantId, String), count: u32) {
        self.parts().applications.insert(application, (count, Instant::now()));
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
    #[error("{0:?}")]
    Server(ServerError),
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
    let server = Server::of(&connected.tenant, &connected.connection, secrets, &context.options.outward).await;
    let server = server.map_err(Stop::Server)?;
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
        let counted = ListDevicesRequest { application_id: application.to_owned(), ..ListDevicesRequest::default() };
        let count = match client.list_devices(counted).await {
            Ok(page) => page.total_count,
            // An application that is gone and a refused key say the same.
            Err(Error::Unauthenticated { .. } | Error::NotFound { .. }) => {
                self.server.key_works().await.map_err(Stop::Server)?;
                return Err(Stop::Server(ServerError::refused("application_unknown", "the application is unknown")));
            }
            Err(error) => return Err(error.into()),
        };
        let seen = &self.context.imports;
        let key = (self.tenant.clone(), application.to_owned());
        if !seen.is_due(&key, count) {
            return Ok(());
        }
        let listed = client.list_all_devices(application, LISTED_MAX).await?;
        let euis: Vec<String> = listed.into_iter().map(|item| item.dev_eui.to_ascii_lowercase()).collect();
        let known = network::by_dev_eui(&self.context.db, self.tenant, &euis).await.map_err(ReconcileError::from)?;
        for eui in euis.iter().filter(|eui| !known.contains_key(*eui)) {
            let device = (self.tenant.clone(), eui.clone());
            if !seen.is_passed_over(&device) && !self.device(eui).await? {
                seen.pass_over(device);
            }
        }
        seen.listed(key, count);
        Ok(())
    }

    /// Registers a device; false if it is not to be imported.
    async fn device(&self, eui: &str) -> Result<bool, Stop> {
        let Some(found) = self.server.find(eui).await.map_err(Stop::Server)? else { return Ok(false) };
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

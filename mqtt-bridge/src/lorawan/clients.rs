//! One client for the ChirpStack of each tenant, made again when the tenant's connection or its key changes.
//!
//! Invariants: calls to one ChirpStack never delay those to another tenant's. At most [`CALLERS_MAX`] devices of a tenant are in calls at a time,
//! and at most [`WAITING_MAX`] wait for their turn. After a failure no device calls until a pause is over. The keys are read from the secrets
//! each time a client is made and kept nowhere else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chirpstack::grpc::{ApiKey, Client, ClientIdentity, Connection, InvalidConnection};
use domain::tenant::Tenant;
use domain::{Key, TenantId};
use event_store::secrets::SecretError;
use event_store::{EventStore, SecretStore, StoreError};
use moka::sync::Cache;
use rand::Rng;
use runtime::outward::Outward;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use trust::SecretValue;

use super::device_queue::DeviceQueues;

/// Most tenants whose client is kept.
const TENANTS_MAX: u64 = 10_000;
/// Devices of a tenant whose calls are made at the same time.
const CALLERS_MAX: usize = 8;
/// Devices of a tenant that wait for their turn. Further ones try again later.
const WAITING_MAX: usize = 256;
/// Pause of a device when too many others wait.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the first failure of a ChirpStack; doubles up to the longest.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoClient {
    /// The tenant has no connection, or is suspended or closed.
    #[error("the tenant has no ChirpStack")]
    NotConnected,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the keys of the connection can't be read: {0}")]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Invalid(#[from] InvalidConnection),
}

/// Lengthens a pause at random, so that not all devices try again at the same moment.
fn spread(pause: Duration) -> Duration {
    pause + pause.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// The clients of all tenants.
pub(crate) struct Clients {
    store: EventStore,
    secrets: SecretStore,
    outward: Outward,
    tenants: Cache<TenantId, Arc<TenantCalls>>,
}

/// The calls to one tenant's ChirpStack.
pub(crate) struct TenantCalls {
    turns: Semaphore,
    waiting: Semaphore,
    made: Mutex<Option<Made>>,
    outage: Mutex<Outage>,
}

/// A client, and the connection that it was made from.
#[derive(Clone)]
pub(crate) struct Made {
    revision: u64,
    pub(crate) queues: Arc<dyn DeviceQueues>,
    pub(crate) chirpstack_tenant_id: String,
}

/// Failures in a row, and until when no device calls.
#[derive(Debug, Default)]
struct Outage {
    failures: u32,
    until: Option<Instant>,
}

impl Clients {
    pub(crate) fn new(store: EventStore, secrets: SecretStore, outward: Outward) -> Self {
        Self { store, secrets, outward, tenants: Cache::new(TENANTS_MAX) }
    }

    pub(crate) fn calls(&self, tenant: &TenantId) -> Arc<TenantCalls> {
        self.tenants.get_with_by_ref(tenant, || Arc::new(TenantCalls::new()))
    }

    /// The client for the tenant's connection as it is now. `position`: the last known record of the tenant.
    pub(crate) async fn client(&self, tenant: &TenantId, calls: &TenantCalls, position: u64) -> Result<Made, NoClient> {
        let key = Key::<Tenant>::new(tenant, tenant);
        let known = self.store.load(&key).await?;
        let state = if known.last_sequence >= position { known } else { self.store.load_fresh(&key).await? };
        let (connection, revision) = state.aggregate.chirpstack_in_use().ok_or(NoClient::NotConnected)?;
        if let Some(made) = calls.made().filter(|made| made.revision == revision) {
            return Ok(made);
        }
        let key = self.secrets.read(tenant, &connection.api_key).await?;
        let key = key.reveal_text().ok_or_else(|| InvalidConnection("the API key isn't text".to_owned()))?;
        let mut settings = Connection::new(&connection.url, ApiKey::new(key.trim())?, self.outward.clone());
        settings.extra_ca_pem.clone_from(&connection.ca);
        let client_key = self.secrets.read_named(tenant, connection.client_key.as_ref()).await?;
        let client_key = client_key.as_ref().and_then(SecretValue::reveal_text);
        let identity = connection.client_certificate.as_deref().zip(client_key);
        settings.identity = identity.map(|(certificate, key)| ClientIdentity::new(certificate, key));
        let queues: Arc<dyn DeviceQueues> = Arc::new(Client::new(&settings)?);
        let made = Made { revision, queues, chirpstack_tenant_id: connection.chirpstack_tenant_id.clone() };
        *calls.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }
}

#[cfg(test)]
impl Made {
    pub(crate) fn with(queues: impl DeviceQueues) -> Self {
        Self { revision: 1, queues: Arc::new(queues), chirpstack_tenant_id: String::new() }
    }
}

impl TenantCalls {
    pub(crate) fn new() -> Self {
        Self {
            turns: Semaphore::new(CALLERS_MAX),
            waiting: Semaphore::new(CALLERS_MAX + WAITING_MAX),
            made: Mutex::default(),
            outage: Mutex::default(),
        }
    }

    fn made(&self) -> Option<Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long a device has to wait before it may try; none if it may try now.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let is_crowded = self.waiting.available_permits() == 0;
        self.outage_left().max(is_crowded.then(|| spread(CROWDED_PAUSE)))
    }

    /// How long no device calls after a failure.
    fn outage_left(&self) -> Option<Duration> {
        let until = self.outage.lock().unwrap_or_else(PoisonError::into_inner).until;
        let left = until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(spread(left))
    }

    /// Waits for the device's turn to call. Refused with a pause.
    pub(crate) async fn turn(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Duration> {
        let place = self.waiting.try_acquire().map_err(|_| CROWDED_PAUSE)?;
        let turn = self.turns.acquire().await.map_err(|_| CROWDED_PAUSE)?;
        // The calls before may have failed meanwhile.
        match self.outage_left() {
            Some(pause) => Err(pause),
            None => Ok((place, turn)),
        }
    }

    /// ChirpStack has answered.
    pub(crate) fn has_answered(&self, tenant: &TenantId) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if outage.failures > 0 {
            tracing::info!(tenant.id = %tenant, "ChirpStack answers again");
            *outage = Outage::default();
        }
    }

    /// ChirpStack hasn't answered, or refuses the key. No device calls it for a while, and the next client reads the key again.
    pub(crate) fn has_failed(&self, tenant: &TenantId, error: &dyn std::fmt::Display) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Calls at the same time fail together.
        if outage.until.is_some_and(|until| now < until) {
            return;
        }
        if outage.failures == 0 {
            tracing::warn!(tenant.id = %tenant, %error, "ChirpStack can't be used; commands to LoRaWAN devices wait");
        }
        let pause = FAILURE_PAUSE.saturating_mul(1 << outage.failures.min(10)).min(FAILURE_PAUSE_MAX);
        outage.failures = outage.failures.saturating_add(1);
        outage.until = Some(now + pause.mul_f64(rand::rng().random_range(0.5..1.0)));
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;

    use super::*;

    fn acme() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_chirpstack_that_fails_is_left_alone_for_longer_each_time() {
        let calls = TenantCalls::new();
        assert!(calls.turn().await.is_ok());
        let mut last = Duration::ZERO;
        for _ in 0..4 {
            // Failures of several devices at the same time count as one.
            calls.has_failed(&acme(), &"down");
            calls.has_failed(&acme(), &"down");
            let until = calls.outage.lock().unwrap().until.unwrap() - Instant::now();
            assert!(calls.turn().await.is_err() && until > last, "{until:?} after {last:?}");
            last = until;
            tokio::time::advance(until).await;
            assert!(calls.turn().await.is_ok());
        }
        calls.has_answered(&acme());
        calls.has_failed(&acme(), &"down");
        assert!(calls.outage.lock().unwrap().until.unwrap() - Instant::now() <= FAILURE_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn devices_that_wait_for_a_hanging_chirpstack_are_few() {
        let calls = TenantCalls::new();
        let mut callers = Vec::new();
        for _ in 0..CALLERS_MAX {
            callers.push(calls.turn().await.unwrap());
        }
        let mut waiting: FuturesUnordered<_> = (0..WAITING_MAX).map(|_| calls.turn()).collect();
        assert!(futures::poll!(waiting.next()).is_pending());
        assert_eq!(calls.turn().await.map(drop), Err(CROWDED_PAUSE));
        // The hanging calls end: the devices that waited don't try one after the other.
        calls.has_failed(&acme(), &"no answer");
        drop(callers);
        while let Some(turn) = waiting.next().await {
            assert!(turn.is_err());
        }
    }
}

//! Looks up whether a token or a certificate belongs to a device: in the log, and in tests in a list.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::api_key::ApiKeyStatus;
use domain::device::{Device, Lifecycle};
use domain::tenant::Tenant;
use domain::{Key, TokenHash};
use event_store::feed::consumers::FeedConsumers;
use event_store::{EventStore, StoreError};
use futures::try_join;
use trust::{ApiKey, DeviceLogin, DeviceToken, TokenHasher};

/// Result of looking for a device's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The tenant is closed.
    TenantClosed,
    NoDevice,
    Decommissioned,
    /// The device has no credential with this token or certificate, or it was revoked.
    WrongToken,
    Expired,
    /// It ends then, if it ends.
    Live {
        expires_at: Option<DateTime<Utc>>,
    },
}

/// What a device shows.
#[derive(Debug, Clone)]
pub enum Proof {
    Token(DeviceToken),
    /// A client certificate in DER whose private key the device has, from an authority that nats-server trusts.
    Certificate(Vec<u8>),
}

/// Result of looking for an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKey {
    /// The tenant doesn't admit callers.
    TenantShut,
    /// There is no such key, or it was revoked.
    Wrong,
    Expired,
    /// It ends then, if it ends. `consumers`: names of the tenant's consumers of FEED.
    Live {
        expires_at: Option<DateTime<Utc>>,
        consumers: Vec<String>,
    },
}

/// The credentials of all devices, and the keys of programs.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// Looks for a device's credential as of now, with everything that was stored before the call. Fails if that can't be known now.
    async fn look_up(&self, device: &DeviceLogin, proof: &Proof, now: DateTime<Utc>) -> Result<Found, String>;

    /// The same for the key of a program that wants to read the feed.
    async fn look_up_key(&self, _key: &ApiKey, _now: DateTime<Utc>) -> Result<FoundKey, String> {
        Ok(FoundKey::Wrong)
    }
}

/// The credentials in the log.
pub struct StoredCredentials {
    store: EventStore,
    hasher: TokenHasher,
    /// Without them no program reads the feed.
    feed: Option<FeedConsumers>,
}

impl StoredCredentials {
    pub fn new(store: EventStore, hasher: TokenHasher) -> Self {
        Self { store, hasher, feed: None }
    }

    /// Also lets in programs that read the feed.
    #[must_use]
    pub fn with_feed(self, feed: FeedConsumers) -> Self {
        Self { feed: Some(feed), ..self }
    }

    async fn find_key(&self, feed: &FeedConsumers, shown: &ApiKey, now: DateTime<Utc>) -> Result<FoundKey, StoreError> {
        let key = Key::<domain::api_key::ApiKey>::new(&shown.tenant, &shown.id);
        let tenant = Key::<Tenant>::new(&shown.tenant, &shown.tenant);
        let (stored, tenant) = try_join!(self.store.load_fresh(&key), self.store.load_fresh(&tenant))?;
        let Some(terms) = stored.aggregate.terms().filter(|_| stored.aggregate.is_of(&self.hasher.hash(shown))) else {
            return Ok(FoundKey::Wrong);
        };
        if tenant.aggregate.admits_callers().is_err() {
            return Ok(FoundKey::TenantShut);
        }
        match stored.aggregate.status(now) {
            ApiKeyStatus::Active => {
                let consumers = feed.list(&shown.tenant).await?.into_iter().map(|consumer| consumer.durable).collect();
                Ok(FoundKey::Live { expires_at: terms.expires_at, consumers })
            }
            ApiKeyStatus::Revoked => Ok(FoundKey::Wrong),
            ApiKeyStatus::Expired => Ok(FoundKey::Expired),
        }
    }
}

#[async_trait]
impl Credentials for StoredCredentials {
    async fn look_up(&self, device: &DeviceLogin, proof: &Proof, now: DateTime<Utc>) -> Result<Found, String> {
        let key = Key::<Device>::new(&device.tenant, &device.device);
        let tenant = Key::<Tenant>::new(&device.tenant, &device.tenant);
        let loaded = try_join!(self.store.load_fresh(&key), self.store.load_fresh(&tenant));
        let (loaded, tenant) = loaded.map_err(|error| error.to_string())?;
        if !tenant.aggregate.lets_devices_in() {
            return Ok(Found::TenantClosed);
        }
        let hash = match proof {
            Proof::Token(token) => self.hasher.hash(token),
            Proof::Certificate(der) => self.hasher.hash_certificate(der),
        };
        Ok(found(&loaded.aggregate, &hash, now))
    }

    async fn look_up_key(&self, key: &ApiKey, now: DateTime<Utc>) -> Result<FoundKey, String> {
        let Some(feed) = &self.feed else { return Ok(FoundKey::Wrong) };
        self.find_key(feed, key, now).await.map_err(|error| error.to_string())
    }
}

fn found(device: &Device, hash: &TokenHash, now: DateTime<Utc>) -> Found {
    match device.lifecycle {
        Lifecycle::Absent => Found::NoDevice,
        Lifecycle::Decommissioned => Found::Decommissioned,
        Lifecycle::Active => match device.credential(hash, now) {
            Some(credential) => Found::Live { expires_at: credential.expires_at },
            None if device.credentials.current().iter().any(|credential| credential.hash == *hash) => Found::Expired,
            None => Found::WrongToken,
        },
    }
}

/// Knows no device: only anonymous devices are let in, if they are.
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn look_up(&self, _: &DeviceLogin, _: &Proof, _: DateTime<Utc>) -> Result<Found, String> {
        Ok(Found::NoDevice)
    }
}

//! Looks up which device a token belongs to: in the log, and in tests in a list.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::device::{Device, Lifecycle};
use domain::{Key, TokenHash};
use event_store::EventStore;
use trust::{DeviceLogin, DeviceToken, TokenHasher};

/// Result of looking for a device's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    NoDevice,
    Decommissioned,
    /// The device has no credential with this token, or it was revoked.
    WrongToken,
    Expired,
    /// It ends then, if it ends.
    Live {
        expires_at: Option<DateTime<Utc>>,
    },
}

/// The credentials of all devices.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// Looks for a device's credential as of now, with everything that was stored before the call. Fails if that can't be known now.
    async fn look_up(&self, device: &DeviceLogin, token: &DeviceToken, now: DateTime<Utc>) -> Result<Found, String>;
}

/// The credentials in the log.
pub struct StoredCredentials {
    store: EventStore,
    hasher: TokenHasher,
}

impl StoredCredentials {
    pub fn new(store: EventStore, hasher: TokenHasher) -> Self {
        Self { store, hasher }
    }
}

#[async_trait]
impl Credentials for StoredCredentials {
    async fn look_up(&self, device: &DeviceLogin, token: &DeviceToken, now: DateTime<Utc>) -> Result<Found, String> {
        let key = Key::<Device>::new(&device.tenant, &device.device);
        let loaded = self.store.load_fresh(&key).await.map_err(|error| error.to_string())?;
        Ok(found(&loaded.aggregate, &self.hasher.hash(token), now))
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
    async fn look_up(&self, _: &DeviceLogin, _: &DeviceToken, _: DateTime<Utc>) -> Result<Found, String> {
        Ok(Found::NoDevice)
    }
}

//! Looks up whether a token or a certificate belongs to a device: in the log, and in tests in a list.

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

/// The credentials of all devices.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// Looks for a device's credential as of now, with everything that was stored before the call. Fails if that can't be known now.
    async fn look_up(&self, device: &DeviceLogin, proof: &Proof, now: DateTime<Utc>) -> Result<Found, String>;
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
    async fn look_up(&self, device: &DeviceLogin, proof: &Proof, now: DateTime<Utc>) -> Result<Found, String> {
        let key = Key::<Device>::new(&device.tenant, &device.device);
        let loaded = self.store.load_fresh(&key).await.map_err(|error| error.to_string())?;
        let hash = match proof {
            Proof::Token(token) => self.hasher.hash(token),
            Proof::Certificate(der) => self.hasher.hash_certificate(der),
        };
        Ok(found(&loaded.aggregate, &hash, now))
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

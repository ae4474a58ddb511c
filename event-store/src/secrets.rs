//! Secrets of tenants, sealed, in a key-value bucket: what others ask Waybill to keep for them, such as keys of other services.
//!
//! Events and commands name a secret by a `domain::SecretRef`; who needs the value asks [`SecretStore::read`] each time and keeps it no
//! longer than needed, so that a changed secret counts at once. Nothing but the master keys and NATS is needed for that.
//!
//! Invariants: the bucket has only values that `trust` sealed, for their tenant and name; the bucket keeps one value per name, so an older
//! one, or one that was sealed under an older key, is gone; no value is in a log line, an error or an event.

mod error;
mod keyring;
mod listing;
mod rotation;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{CreateErrorKind, Entry, Operation, Store, UpdateErrorKind};
use domain::device::DEVICE_SECRET_PREFIX;
use domain::{SecretName, SecretRef, TenantId};
use tokio::sync::OnceCell;
use trust::{Purpose, SecretValue};

use crate::connection;
use crate::error::StoreError;
use crate::streams::{SECRET_MARKER_TTL, SECRET_VALUE_MAX_BYTES, SECRETS};

pub use error::{KeyringError, SecretError};
pub use keyring::Keyring;
pub use listing::{SecretInfo, SecretsCheck, Unreadable};
pub use rotation::Rotation;

/// Most secrets of one tenant, without those of its devices. Writers look before they write, so concurrent ones may pass it by one each.
pub const SECRETS_PER_TENANT_MAX: u64 = 100;

/// Beginning of the keys of devices' secrets, after the tenant.
const OF_DEVICES: &str = "device.";

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretPlace {
    pub tenant: TenantId,
    pub name: SecretName,
}

/// The secrets of all tenants. Clones share keys and connection.
#[derive(Clone)]
pub struct SecretStore {
    client: Client,
    keyring: Arc<Keyring>,
    bucket: Arc<OnceCell<Store>>,
}

impl SecretPlace {
    pub fn new(tenant: &TenantId, SecretRef(name): &SecretRef) -> Self {
        Self { tenant: tenant.clone(), name: name.clone() }
    }

    /// Whether it has the join keys of a device. There is one for each device at most, and they don't count among those of the tenant.
    fn is_of_device(&self) -> bool {
        self.name.as_str().starts_with(DEVICE_SECRET_PREFIX)
    }

    /// Key in the bucket. Keys of devices have a level more, so that a list of the tenant's own secrets doesn't read them.
    fn key(&self) -> String {
        match self.name.as_str().strip_prefix(DEVICE_SECRET_PREFIX) {
            Some(device) => format!("{}.{OF_DEVICES}{device}", self.tenant),
            None => format!("{}.{}", self.tenant, self.name),
        }
    }

    fn parse(key: &str) -> Option<Self> {
        let (tenant, name) = key.split_once('.')?;
        let name = match name.strip_prefix(OF_DEVICES) {
            Some(device) => format!("{DEVICE_SECRET_PREFIX}{device}"),
            None => name.to_owned(),
        };
        Some(Self { tenant: TenantId::new(tenant).ok()?, name: SecretName::new(name).ok()? })
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

impl SecretStore {
    /// The client is one of account WAYBILL.
    pub fn new(client: Client, keyring: Arc<Keyring>) -> Self {
        Self { client, keyring, bucket: Arc::default() }
    }

    /// The value of a tenant's secret. When it is sealed under a key that this process doesn't know, the keys are read again first.
    pub async fn read(&self, tenant: &TenantId, secret: &SecretRef) -> Result<SecretValue, SecretError> {
        let place = SecretPlace::new(tenant, secret);
        let Some(entry) = self.entry(&place).await? else { return Err(SecretError::Missing(place)) };
        self.open(place, &entry.value).await
    }

    /// The same if a secret is named at all.
    pub async fn read_named(
        &self,
        tenant: &TenantId,
        secret: Option<&SecretRef>,
    ) -> Result<Option<SecretValue>, SecretError> {
        match secret {
            Some(secret) => self.read(tenant, secret).await.map(Some),
            None => Ok(None),
        }
    }

    /// The value of a tenant's secret, and its revision for [`Self::replace`].
    pub async fn read_revision(&self, place: &SecretPlace) -> Result<(SecretValue, u64), SecretError> {
        let Some(entry) = self.entry(place).await? else { return Err(SecretError::Missing(place.clone())) };
        Ok((self.open(place.clone(), &entry.value).await?, entry.revision))
    }

    /// Keeps a value in place of the one with this revision, or of none; false if the name has another value meanwhile. Such a secret doesn't
    /// count among those of the tenant.
    pub async fn replace(
        &self,
        place: &SecretPlace,
        value: &SecretValue,
        revision: Option<u64>,
    ) -> Result<bool, SecretError> {
        let bytes = value.reveal().len();
        if !(1..=SECRET_VALUE_MAX_BYTES).contains(&bytes) {
            return Err(SecretError::Size { bytes });
        }
        let keys = self.keyring.reread().await?;
        let sealed = keys.seal(&place.tenant, &place.name, value);
        let (bucket, key) = (self.bucket().await?, place.key());
        match revision {
            None => match bucket.create(key, sealed.into()).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(unavailable(error)),
            },
            Some(revision) => match bucket.update(key, sealed.into(), revision).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
                Err(error) => Err(unavailable(error)),
            },
        }
    }

    /// Keeps a value, in place of the one that the name has. It is sealed under the first key of the file as it is now, so that no value is
    /// sealed under a key that is about to be removed.
    pub async fn put(&self, place: &SecretPlace, value: &SecretValue) -> Result<(), SecretError> {
        let bytes = value.reveal().len();
        if !(1..=SECRET_VALUE_MAX_BYTES).contains(&bytes) {
            return Err(SecretError::Size { bytes });
        }
        let keys = self.keyring.reread().await?;
        if !place.is_of_device() {
            let others = self.places(Some(&place.tenant), 0).await?;
            if !others.places.contains(place) && others.total >= SECRETS_PER_TENANT_MAX {
                return Err(SecretError::TooMany(place.tenant.clone()));
            }
        }
        let sealed = keys.seal(&place.tenant, &place.name, value);
        self.bucket().await?.put(place.key(), sealed.into()).await.map_err(unavailable)?;
        Ok(())
    }

    /// Removes a secret; false if there was none. What remains is a mark without a value, for [`SECRET_MARKER_TTL`].
    pub async fn delete(&self, place: &SecretPlace) -> Result<bool, SecretError> {
        let Some(entry) = self.entry(place).await? else { return Ok(false) };
        let purged = self.bucket().await?.purge_expect_revision_with_ttl(
            place.key(),
            entry.revision,
            Duration::from_secs(SECRET_MARKER_TTL.as_secs()),
        );
        purged.await.map_err(unavailable)?;
        Ok(true)
    }

    /// The entry that a name has now.
    async fn entry(&self, place: &SecretPlace) -> Result<Option<Entry>, SecretError> {
        let entry = self.bucket().await?.entry(place.key()).await.map_err(unavailable)?;
        Ok(entry.filter(|entry| entry.operation == Operation::Put))
    }

    async fn open(&self, place: SecretPlace, sealed: &[u8]) -> Result<SecretValue, SecretError> {
        let parts = [place.tenant.as_str(), place.name.as_str()];
        let opened = self.keyring.open(Purpose::Secret, &parts, sealed).await;
        opened.map_err(|reason| SecretError::NotOpened { place, reason })
    }

    async fn bucket(&self) -> Result<&Store, SecretError> {
        crate::jetstream_api::connected(&self.client)?;
        let jetstream = connection::jetstream(&self.client);
        let opened = self.bucket.get_or_try_init(|| async move { jetstream.get_key_value(SECRETS).await }).await;
        opened.map_err(|error| SecretError::NoBucket(error.to_string()))
    }
}

fn unavailable(error: impl std::error::Error) -> SecretError {
    StoreError::Unavailable(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_bucket_reads_back() {
        let reference: SecretRef = "secret:chirpstack_key-1".parse().unwrap();
        let place = SecretPlace::new(&TenantId::new("acme-2").unwrap(), &reference);
        assert_eq!(place.key(), "acme-2.chirpstack_key-1");
        assert_eq!(SecretPlace::parse(&place.key()), Some(place));
        let reference: SecretRef = format!("secret:{DEVICE_SECRET_PREFIX}00ff").parse().unwrap();
        let place = SecretPlace::new(&TenantId::new("acme-2").unwrap(), &reference);
        assert_eq!(place.key(), "acme-2.device.00ff");
        assert_eq!(SecretPlace::parse(&place.key()), Some(place));
        for key in ["acme", "acme.", ".x", "Acme.x", "acme.x.y", "acme.device.x.y"] {
            assert_eq!(SecretPlace::parse(key), None, "{key}");
        }
    }
}

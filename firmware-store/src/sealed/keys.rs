//! Keys of tenants, which another part of the service keeps.

use std::fmt;

use async_trait::async_trait;
use object_store::Error;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Names a key of a tenant.
pub type KeyId = Uuid;

/// A key of a tenant. `Debug` shows its name alone.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantKey {
    pub id: KeyId,
    pub key: [u8; KEY_BYTES],
}

impl TenantKey {
    /// A new one.
    pub fn generate(id: KeyId) -> Result<Self, KeysError> {
        let mut key = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut key).map_err(|_| KeysError::Away("no randomness".to_owned()))?;
        Ok(Self { id, key })
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why there is no key. The text has no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("the tenant has no key {0}")]
    Unknown(KeyId),
    #[error("the keys of the tenant can't be read or written: {0}")]
    Away(String),
    #[error("the tenant has {max} keys, which is the most")]
    TooMany { max: usize },
}

impl From<KeysError> for Error {
    fn from(error: KeysError) -> Self {
        Self::Generic { store: "keys of tenants", source: Box::new(error) }
    }
}

/// Where keys of tenants are kept.
#[async_trait]
pub trait TenantKeys: Send + Sync {
    /// The key for new objects. Makes the first one.
    async fn newest(&self, tenant: &str) -> Result<TenantKey, KeysError>;

    /// A key under which an object is sealed.
    async fn known(&self, tenant: &str, id: KeyId) -> Result<TenantKey, KeysError>;
}

//! Why a secret can't be read or kept. No error has a value in it.

use std::path::PathBuf;

use domain::TenantId;
use trust::{InvalidMasterKeys, OpenError};

use super::{SECRETS_PER_TENANT_MAX, SecretPlace};
use crate::error::StoreError;
use crate::streams::{SECRET_VALUE_MAX_BYTES, SECRETS};

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("there is no secret {0}")]
    Missing(SecretPlace),
    #[error("secret {place} can't be read: {reason}")]
    NotOpened { place: SecretPlace, reason: OpenError },
    #[error("a secret has 1 to {SECRET_VALUE_MAX_BYTES} bytes, not {bytes}")]
    Size { bytes: usize },
    #[error("tenant {0} has {SECRETS_PER_TENANT_MAX} secrets, which is the most")]
    TooMany(TenantId),
    #[error("secret {0} kept changing")]
    Conflict(SecretPlace),
    #[error("the bucket {SECRETS} can't be used: {0}; a starting `waybill serve` makes it")]
    NoBucket(String),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there are no usable master keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("the master keys in {path} can't be read: {reason}")]
    Unreadable { path: PathBuf, reason: std::io::Error },
    #[error("{path}: {reason}")]
    Invalid { path: PathBuf, reason: InvalidMasterKeys },
    #[error("{path} has more than {max_bytes} bytes: it isn't a file of master keys")]
    TooLarge { path: PathBuf, max_bytes: u64 },
}

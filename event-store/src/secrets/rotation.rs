//! Sealing everything anew under the first key, so that the other keys can be removed.
//!
//! Each secret is one write that replaces the value that was read, or none. So a rotation can be interrupted and repeated, and secrets that
//! change meanwhile keep their new value.

use async_nats::jetstream::kv::UpdateErrorKind;
use trust::{KeyId, MasterKeys, sealing_key};

use super::error::SecretError;
use super::listing::Unreadable;
use super::{SecretPlace, SecretStore, unavailable};

/// Attempts at a secret that others write at the same time.
const TRIES_MAX: u32 = 5;

/// What a rotation has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key under which everything readable is sealed now.
    pub key: KeyId,
    pub sealed_anew: u64,
    /// Sealed under this key before.
    pub unchanged: u64,
    /// Left as they were.
    pub unreadable: Unreadable,
}

enum Outcome {
    SealedAnew,
    Unchanged,
    Deleted,
}

impl SecretStore {
    /// Seals all secrets of all tenants under the first master key of the file as it is now.
    pub async fn rotate(&self) -> Result<Rotation, SecretError> {
        let keys = self.keyring.reread().await?;
        let (key, unreadable) = (keys.first_id().clone(), Unreadable::default());
        let mut rotation = Rotation { key, sealed_anew: 0, unchanged: 0, unreadable };
        let mut from = Some(0);
        while let Some(offset) = from {
            let page = self.places(None, offset).await?;
            for place in page.places {
                match self.seal_anew(&keys, &place).await {
                    Ok(Outcome::SealedAnew) => rotation.sealed_anew += 1,
                    Ok(Outcome::Unchanged) => rotation.unchanged += 1,
                    Ok(Outcome::Deleted) => {}
                    Err(error @ SecretError::NotOpened { .. }) => rotation.unreadable.add(&error),
                    Err(error) => return Err(error),
                }
            }
            from = page.next;
        }
        Ok(rotation)
    }

    async fn seal_anew(&self, keys: &MasterKeys, place: &SecretPlace) -> Result<Outcome, SecretError> {
        for _ in 0..TRIES_MAX {
            let Some(entry) = self.entry(place).await? else { return Ok(Outcome::Deleted) };
            let value = self.open(place.clone(), &entry.value).await?;
            if sealing_key(&entry.value).as_ref() == Some(keys.first_id()) {
                return Ok(Outcome::Unchanged);
            }
            let sealed = keys.seal(&place.tenant, &place.name, &value);
            match self.bucket().await?.update(place.key(), sealed.into(), entry.revision).await {
                Ok(_) => return Ok(Outcome::SealedAnew),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(SecretError::Conflict(place.clone()))
    }
}

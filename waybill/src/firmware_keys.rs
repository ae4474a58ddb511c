//! Keys under which a tenant's firmware is sealed: one secret of the tenant in the bucket SECRETS, with all keys, the newest last.
//!
//! A change replaces the value that was read, or fails. So no key is lost when two processes make the first one at the same time. The keys are
//! read each time an object is opened, so a key that was forgotten opens nothing from then on.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use command_api::FIRMWARE_KEYS;
use domain::{SecretName, SecretRef, TenantId};
use event_store::secrets::SecretError;
use event_store::{SecretPlace, SecretStore};
use firmware_store::{KeyId, KeysError, TenantKey, TenantKeys};
use runtime::clock;
use serde::{Deserialize, Serialize};
use trust::SecretValue;

/// Most keys of a tenant. When there are more, the older ones must be forgotten first.
const KEYS_MAX: usize = 32;
/// How often a change that another process overtook begins again.
const OVERTAKEN_MAX: usize = 3;

/// The keys of all tenants. Clones share the connection.
#[derive(Clone)]
pub(crate) struct FirmwareKeys(SecretStore);

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: KeyId,
    key: String,
}

fn away(error: impl std::fmt::Display) -> KeysError {
    KeysError::Away(error.to_string())
}

fn place(tenant: &str) -> Result<SecretPlace, KeysError> {
    let tenant = TenantId::new(tenant).map_err(away)?;
    Ok(SecretPlace::new(&tenant, &SecretRef(SecretName::new(FIRMWARE_KEYS).map_err(away)?)))
}

/// No error has anything of the value.
fn parse(value: &SecretValue) -> Result<Vec<TenantKey>, KeysError> {
    let broken = || KeysError::Away(format!("the secret {FIRMWARE_KEYS} isn't a list of keys"));
    let kept: Vec<Kept> = serde_json::from_slice(value.reveal()).map_err(|_| broken())?;
    let key = |kept: Kept| {
        let key = STANDARD.decode(&kept.key).ok()?.try_into().ok()?;
        Some(TenantKey { id: kept.id, key })
    };
    kept.into_iter().map(key).collect::<Option<Vec<_>>>().ok_or_else(broken)
}

fn write(keys: &[TenantKey]) -> Result<SecretValue, KeysError> {
    let kept: Vec<Kept> = keys.iter().map(|key| Kept { id: key.id, key: STANDARD.encode(key.key) }).collect();
    Ok(SecretValue::new(serde_json::to_vec(&kept).map_err(away)?))
}

/// When a key was made: ids have the time of their creation.
fn made_at(id: KeyId) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

impl FirmwareKeys {
    pub(crate) fn new(secrets: SecretStore) -> Self {
        Self(secrets)
    }

    /// All keys of a tenant, and the revision that a change replaces.
    async fn all(&self, place: &SecretPlace) -> Result<(Vec<TenantKey>, Option<u64>), KeysError> {
        match self.0.read_revision(place).await {
            Ok((value, revision)) => Ok((parse(&value)?, Some(revision))),
            Err(SecretError::Missing(_)) => Ok((vec![], None)),
            Err(error) => Err(away(error)),
        }
    }

    /// Makes another key of a tenant, or the first one; returns the newest. `is_first`: only if there is none.
    async fn add(&self, tenant: &str, is_first: bool) -> Result<TenantKey, KeysError> {
        let place = place(tenant)?;
        for _ in 0..OVERTAKEN_MAX {
            let (mut keys, revision) = self.all(&place).await?;
            if let Some(newest) = keys.last().filter(|_| is_first) {
                return Ok(newest.clone());
            }
            if keys.len() >= KEYS_MAX {
                return Err(KeysError::TooMany { max: KEYS_MAX });
            }
            let key = TenantKey::generate(clock::new_id())?;
            keys.push(key.clone());
            if self.0.replace(&place, &write(&keys)?, revision).await.map_err(away)? {
                return Ok(key);
            }
        }
        Err(away(SecretError::Conflict(place)))
    }

    /// Makes a new key for what is stored from now on.
    pub(crate) async fn rotate(&self, tenant: &str) -> Result<TenantKey, KeysError> {
        self.add(tenant, false).await
    }

    /// The newest key of a tenant, and how long it has been the newest. None if the tenant has no keys.
    pub(crate) async fn age_of_newest(&self, tenant: &str) -> Result<Option<(KeyId, TimeDelta)>, KeysError> {
        let (keys, _) = self.all(&place(tenant)?).await?;
        let newest = keys.last().map(|key| key.id);
        Ok(newest.map(|id| (id, made_at(id).map_or(TimeDelta::zero(), |made_at| clock::now() - made_at))))
    }

    /// Forgets all keys of a tenant but the newest; returns how many. Fails if another one than `newest` is the newest meanwhile.
    pub(crate) async fn forget_older(&self, tenant: &str, newest: KeyId) -> Result<usize, KeysError> {
        let place = place(tenant)?;
        let (keys, revision) = self.all(&place).await?;
        let older = keys.len().saturating_sub(1);
        if keys.last().is_none_or(|key| key.id != newest) {
            return Err(away(SecretError::Conflict(place)));
        }
        if older == 0 || self.0.replace(&place, &write(&keys[older..])?, revision).await.map_err(away)? {
            return Ok(older);
        }
        Err(away(SecretError::Conflict(place)))
    }
}

#[async_trait]
impl TenantKeys for FirmwareKeys {
    async fn newest(&self, tenant: &str) -> Result<TenantKey, KeysError> {
        self.add(tenant, true).await
    }

    async fn known(&self, tenant: &str, id: KeyId) -> Result<TenantKey, KeysError> {
        let (keys, _) = self.all(&place(tenant)?).await?;
        keys.into_iter().find(|key| key.id == id).ok_or(KeysError::Unknown(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_never_shown() {
        let keys = [TenantKey::generate(clock::new_id()).unwrap(), TenantKey::generate(clock::new_id()).unwrap()];
        let value = write(&keys).unwrap();
        assert_eq!(parse(&value).unwrap(), keys);
        for broken in [
            "",
            "{}",
            r#"[{"id":"x","key":"geheim"}]"#,
            r#"[{"id":"00000000-0000-0000-0000-000000000001","key":"geheim"}]"#,
        ] {
            let error = parse(&SecretValue::new(broken.as_bytes())).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
        let shown = format!("{keys:?}");
        assert!(!shown.contains(&format!("{:?}", keys[0].key)) && shown.contains(&keys[0].id.to_string()), "{shown}");
    }

    #[test]
    fn the_id_of_a_key_says_when_it_was_made() {
        let before = clock::now() - TimeDelta::milliseconds(1);
        let made_at = made_at(clock::new_id()).unwrap();
        assert!((before..=clock::now()).contains(&made_at), "{made_at}");
        assert!(super::made_at(KeyId::from_u128(1)).is_none());
    }

    #[test]
    fn all_keys_of_a_tenant_fit_into_a_secret() {
        let keys: Vec<TenantKey> = (0..KEYS_MAX).map(|_| TenantKey::generate(clock::new_id()).unwrap()).collect();
        let bytes = write(&keys).unwrap().reveal().len();
        assert!(bytes <= event_store::streams::SECRET_VALUE_MAX_BYTES, "{bytes}");
    }
}

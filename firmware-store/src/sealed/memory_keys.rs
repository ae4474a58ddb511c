//! Keys of tenants in memory, for tests.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use uuid::Uuid;

use super::{KeyId, KeysError, TenantKey, TenantKeys};

#[derive(Default)]
pub(crate) struct MemoryKeys(Mutex<HashMap<String, Vec<TenantKey>>>);

impl MemoryKeys {
    pub(crate) fn rotate(&self, tenant: &str) {
        let mut tenants = self.0.lock().unwrap();
        let keys = tenants.entry(tenant.to_owned()).or_default();
        let id = Uuid::from_u128(keys.last().map_or(1, |key| key.id.as_u128() + 1));
        keys.push(TenantKey::generate(id).unwrap());
    }

    pub(crate) fn forget_older(&self, tenant: &str) {
        let mut tenants = self.0.lock().unwrap();
        let keys = tenants.entry(tenant.to_owned()).or_default();
        keys.drain(..keys.len().saturating_sub(1));
    }
}

#[async_trait]
impl TenantKeys for MemoryKeys {
    async fn newest(&self, tenant: &str) -> Result<TenantKey, KeysError> {
        if !self.0.lock().unwrap().contains_key(tenant) {
            self.rotate(tenant);
        }
        Ok(self.0.lock().unwrap()[tenant].last().unwrap().clone())
    }

    async fn known(&self, tenant: &str, id: KeyId) -> Result<TenantKey, KeysError> {
        let tenants = self.0.lock().unwrap();
        let found = tenants.get(tenant).and_then(|keys| keys.iter().find(|key| key.id == id));
        found.cloned().ok_or(KeysError::Unknown(id))
    }
}

//! The secrets of one request: which are kept under which names.

use domain::change::Change;
use domain::{SecretName, SecretRef, TenantId};
use event_store::secrets::SecretError;
use event_store::{SecretPlace, SecretStore};
use trust::SecretValue;
use uuid::Uuid;

use crate::http::Problem;
use crate::secret_input::SecretInput;

/// Hex digits of an id in the names of secrets.
const ID_DIGITS: usize = 16;

/// Secrets that a request brings, until they are kept.
pub(super) struct Keeping<'a> {
    store: &'a SecretStore,
    tenant: &'a TenantId,
    /// In the names of new secrets.
    id: String,
    new: Vec<(SecretRef, SecretValue)>,
}

impl<'a> Keeping<'a> {
    /// `id`: one that no other request has, so that no other writes or removes secrets of these names.
    pub(super) fn new(store: &'a SecretStore, tenant: &'a TenantId, id: Uuid) -> Self {
        let mut id = id.simple().to_string();
        // The last digits of an id are the ones that differ.
        let id = id.split_off(id.len() - ID_DIGITS);
        Self { store, tenant, id, new: Vec::new() }
    }

    /// The reference of a secret after a request: the one that it had, a new one, or none.
    pub(super) async fn changed(
        &mut self,
        field: &str,
        purpose: &str,
        before: Option<&SecretRef>,
        change: &Change<SecretInput>,
    ) -> Result<Option<SecretRef>, Problem> {
        self.changed_to(purpose, before, change, |given| given.value(field)).await
    }

    /// The same for a private key in PEM.
    pub(super) async fn changed_pem(
        &mut self,
        field: &str,
        purpose: &str,
        before: Option<&SecretRef>,
        change: &Change<SecretInput>,
    ) -> Result<Option<SecretRef>, Problem> {
        self.changed_to(purpose, before, change, |given| given.private_key(field)).await
    }

    async fn changed_to(
        &mut self,
        purpose: &str,
        before: Option<&SecretRef>,
        change: &Change<SecretInput>,
        value: impl FnOnce(&SecretInput) -> Result<SecretValue, Problem>,
    ) -> Result<Option<SecretRef>, Problem> {
        match change {
            Change::Keep => Ok(before.cloned()),
            Change::Clear => Ok(None),
            Change::Set(given) => self.set(purpose, before, value(given)?).await.map(Some),
        }
    }

    /// The same value again keeps its name, so the same connection again changes nothing.
    pub(super) async fn set(
        &mut self,
        purpose: &str,
        before: Option<&SecretRef>,
        value: SecretValue,
    ) -> Result<SecretRef, Problem> {
        if let Some(before) = before
            && self.read(before).await?.is_some_and(|kept| kept.reveal() == value.reveal())
        {
            return Ok(before.clone());
        }
        let name = SecretName::new(format!("chirpstack-{purpose}-{}", self.id)).map_err(Problem::internal)?;
        let secret = SecretRef(name);
        self.new.push((secret.clone(), value));
        Ok(secret)
    }

    async fn read(&self, secret: &SecretRef) -> Result<Option<SecretValue>, Problem> {
        match self.store.read(self.tenant, secret).await {
            Ok(value) => Ok(Some(value)),
            Err(SecretError::Missing(_) | SecretError::NotOpened { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The value that a reference of this request stands for.
    pub(super) async fn value_of(&self, secret: &SecretRef) -> Result<Option<SecretValue>, Problem> {
        match self.new.iter().find(|(new, _)| new == secret) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => self.read(secret).await,
        }
    }

    /// None for no reference.
    pub(super) async fn value_if_named(&self, secret: Option<&SecretRef>) -> Result<Option<SecretValue>, Problem> {
        match secret {
            Some(secret) => self.value_of(secret).await,
            None => Ok(None),
        }
    }

    pub(super) async fn keep(&self) -> Result<(), Problem> {
        for (secret, value) in &self.new {
            self.store.put(&SecretPlace::new(self.tenant, secret), value).await?;
        }
        Ok(())
    }

    /// The secrets that the request brings.
    pub(super) fn new_secrets(&self) -> Vec<&SecretRef> {
        self.new.iter().map(|(secret, _)| secret).collect()
    }
}

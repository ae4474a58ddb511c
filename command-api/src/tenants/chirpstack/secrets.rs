//! The secrets of one request: which are kept under which names.

use domain::change::Change;
use domain::{CommandId, SecretName, SecretRef, TenantId};
use event_store::secrets::SecretError;
use event_store::{ExecuteError, SecretPlace, SecretStore};
use trust::SecretValue;

use crate::http::Problem;
use crate::secret_input::SecretInput;
use crate::state::App;

/// Hex digits of a command's id in the name of a secret that it brings.
const COMMAND_DIGITS: usize = 16;

/// Secrets that a request brings, until they are kept.
pub(super) struct Keeping<'a> {
    store: &'a SecretStore,
    tenant: &'a TenantId,
    /// In the names of new secrets: a repeated request has the same names.
    command: String,
    new: Vec<(SecretRef, SecretValue)>,
}

impl<'a> Keeping<'a> {
    pub(super) fn new(store: &'a SecretStore, tenant: &'a TenantId, command: CommandId) -> Self {
        let mut command = command.0.simple().to_string();
        // The last digits of an id are the ones that differ.
        let command = command.split_off(command.len() - COMMAND_DIGITS);
        Self { store, tenant, command, new: Vec::new() }
    }

    /// The reference of a secret after a request: the one that it had, a new one, or none.
    pub(super) async fn changed(
        &mut self,
        field: &str,
        purpose: &str,
        before: Option<&SecretRef>,
        change: &Change<SecretInput>,
    ) -> Result<Option<SecretRef>, Problem> {
        match change {
            Change::Keep => Ok(before.cloned()),
            Change::Clear => Ok(None),
            Change::Set(given) => self.set(purpose, before, given.value(field)?).await.map(Some),
        }
    }

    /// The same value again keeps its name, so a repeated request changes nothing.
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
        let name = SecretName::new(format!("chirpstack-{purpose}-{}", self.command)).map_err(Problem::internal)?;
        let secret = SecretRef(name);
        if before == Some(&secret) {
            return Err(ExecuteError::CommandIdReused.into());
        }
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

    pub(super) async fn keep(&self) -> Result<(), Problem> {
        for (secret, value) in &self.new {
            self.store.put(&SecretPlace::new(self.tenant, secret), value).await?;
        }
        Ok(())
    }

    /// After a refused command: removes what was kept for it.
    pub(super) async fn undo(&self, app: &App) {
        for (secret, _) in &self.new {
            app.forget_secret(self.tenant, secret).await;
        }
    }
}

//! Credentials of devices, written to the log by a test.

use chrono::{DateTime, Utc};
use domain::device::{Device, DeviceCommand, NewCredential};
use domain::{Actor, CommandId, CredentialId, DeviceId, Key, TenantId};
use event_store::{EventStore, Request};
use runtime::clock;
use trust::{DeviceToken, TokenHasher};

use crate::world::TENANT;

/// A credential with its token.
pub(crate) struct Issued {
    pub(crate) id: CredentialId,
    pub(crate) token: String,
}

/// Issues and revokes credentials in the log, without the service.
pub(crate) struct CredentialOperator {
    pub(crate) store: EventStore,
    pub(crate) hasher: TokenHasher,
}

impl CredentialOperator {
    pub(crate) async fn commands(&self, tenant: &str, device: &str, command: DeviceCommand) {
        let key = Key::<Device>::new(&TenantId::new(tenant).unwrap(), &DeviceId::new(device).unwrap());
        let actor = Actor::new("user:operator").unwrap();
        self.store.execute(&key, Request::new(CommandId(clock::new_id()), actor, command)).await.unwrap();
    }

    pub(crate) async fn issues_until(&self, tenant: &str, device: &str, expires_at: Option<DateTime<Utc>>) -> Issued {
        let (id, token) = (CredentialId(clock::new_id()), DeviceToken::generate());
        let (hash, by) = (self.hasher.hash(&token), Actor::new("user:operator").unwrap());
        let credential = NewCredential { credential_id: id, hash, expires_at, by };
        self.commands(tenant, device, DeviceCommand::IssueCredential { credential }).await;
        Issued { id, token: token.as_ref().reveal().to_owned() }
    }

    pub(crate) async fn issues(&self, device: &str) -> Issued {
        self.issues_until(TENANT, device, None).await
    }

    pub(crate) async fn revokes(&self, device: &str, Issued { id, .. }: &Issued) {
        self.commands(TENANT, device, DeviceCommand::RevokeCredential { credential_id: *id }).await;
    }
}

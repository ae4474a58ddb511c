//! The tenants as this process knows them.

use std::sync::Arc;
use std::time::Duration;

use domain::firmware::FirmwarePolicy;
use domain::tenant::{Shut, Tenant, TenantCommand, TenantRules, TenantSpec};
use domain::{Actor, ActorKind, CommandId, Key, Rejection, TenantId};
use event_store::{EventStore, ExecuteError, Followed, Request, StoreError};
use runtime::clock;

use super::requests::Requests;
use crate::caller::{Caller, DEFAULT_TENANT};
use crate::http::{Done, Envelope, Problem};
use crate::state::App;

/// How long a command on a tenant waits until its own process knows its outcome.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// The sender of what nobody has asked for.
const ACTOR: &str = "api";

impl App {
    /// A caller's command on a tenant. This process obeys it when the reply is sent.
    pub(super) async fn tell_tenant(
        &self,
        caller: &Caller,
        envelope: &Envelope,
        key: &Key<Tenant>,
        command: TenantCommand,
        reason: Option<String>,
    ) -> Result<Done<Tenant>, Problem> {
        let done = self.command(caller, envelope, key, command, reason).await?;
        if !done.dry_run {
            self.tenants.know(done.position.sequence).await;
        }
        Ok(done)
    }
}

/// All tenants.
pub(crate) struct Tenants {
    /// None in a process that serves no API: it looks up each.
    followed: Option<Followed<Tenant>>,
    store: EventStore,
    /// The default tenant needs not be created.
    development: bool,
    requests: Requests,
}

fn must_be_open(tenant: &Tenant) -> Result<(), Problem> {
    tenant.admits_callers().map_err(|shut| match shut {
        Shut::Unknown => Problem::unauthorized("the tenant of the token is not known"),
        Shut::Suspended => Problem::forbidden_as("tenant_suspended", "the tenant is suspended"),
        Shut::Closed => Problem::forbidden_as("tenant_closed", "the tenant is closed"),
    })
}

fn created_by_itself() -> TenantCommand {
    TenantCommand::Create { spec: TenantSpec::default() }
}

impl Tenants {
    pub(crate) fn new(followed: Option<Followed<Tenant>>, store: EventStore, development: bool) -> Self {
        Self { followed, store, development, requests: Requests::default() }
    }

    /// A tenant, as it was milliseconds ago. One that this process hasn't heard of is looked up: another process may have just created it.
    pub(crate) async fn get(&self, tenant: &TenantId) -> Result<Arc<Tenant>, StoreError> {
        let key = Key::<Tenant>::new(tenant, tenant);
        if let Some(Ok(Some(known))) = self.followed.as_ref().map(|followed| followed.get(&key)) {
            return Ok(Arc::clone(&known.aggregate));
        }
        let stored = self.store.load_fresh(&key).await?;
        let making = match stored.version {
            // Of a log that is older than tenants: the process managers have not come to it yet.
            0 if self.store.log().has_tenant(tenant).await? => TenantCommand::Adopt,
            0 if self.development && tenant.as_str() == DEFAULT_TENANT => created_by_itself(),
            _ => return Ok(Arc::clone(&stored.aggregate)),
        };
        let actor = Actor::of(ActorKind::Service, ACTOR).unwrap_or_else(|_| unreachable!("a valid actor"));
        match self.tell(&key, actor, making).await {
            Ok(adopted) => Ok(adopted),
            Err(ExecuteError::Store(error)) => Err(error),
            Err(other) => Err(StoreError::Unavailable(other.to_string())),
        }
    }

    /// Refuses callers of a tenant that may not use the API, or has sent as many requests as it may.
    pub(crate) async fn admit(&self, tenant: &TenantId) -> Result<(), Problem> {
        let known = self.get(tenant).await?;
        if let Some(limit) = known.spec.quotas.requests_per_minute {
            self.requests.count(tenant, limit)?;
        }
        must_be_open(&known)
    }

    /// Refuses a tenant that has been shut. No request is counted.
    pub(crate) async fn must_be_open(&self, tenant: &TenantId) -> Result<(), Problem> {
        must_be_open(&*self.get(tenant).await?)
    }

    /// What a firmware needs before it goes out.
    pub(crate) async fn firmware_policy(&self, tenant: &TenantId) -> Result<FirmwarePolicy, StoreError> {
        Ok(self.get(tenant).await?.firmware_policy())
    }

    /// The rules for what is dispatched to a device at once. Refused while nothing may be dispatched.
    pub(crate) async fn rules_of_dispatch(&self, tenant: &TenantId) -> Result<TenantRules, Problem> {
        let known = self.get(tenant).await?;
        if known.lets_dispatch() { Ok(known.spec.rules) } else { Err(Rejection::TenantFrozen.into()) }
    }

    /// Creates a tenant that doesn't exist, so that a newcomer needs no further step.
    pub(crate) async fn create_for_development(&self, tenant: &TenantId, by: Actor) -> Result<(), Problem> {
        if self.get(tenant).await?.admits_callers() != Err(Shut::Unknown) {
            return Ok(());
        }
        match self.tell(&Key::<Tenant>::new(tenant, tenant), by, created_by_itself()).await {
            Ok(_) | Err(ExecuteError::Rejected(Rejection::TenantExists)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until this process knows what was stored. Others know it milliseconds later, or when they have the log again.
    async fn know(&self, position: u64) {
        let Some(followed) = &self.followed else { return };
        if let Err(error) = followed.reached(position, KNOWN_WITHIN).await {
            tracing::warn!(%error, position, "a command on a tenant is stored, and not known to this process yet");
        }
    }

    pub(crate) async fn rules(&self, tenant: &TenantId) -> Result<TenantRules, StoreError> {
        Ok(self.get(tenant).await?.spec.rules)
    }

    /// A command that no request carries.
    async fn tell(&self, key: &Key<Tenant>, actor: Actor, command: TenantCommand) -> Result<Arc<Tenant>, ExecuteError> {
        let request = Request::new(CommandId(clock::new_id()), actor, command);
        Ok(self.store.execute(key, request).await?.aggregate)
    }
}

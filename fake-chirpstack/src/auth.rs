//! Keys, and what they may touch: the semantics of a real server, where whoever may not see an object isn't told whether it exists.

use std::collections::BTreeMap;

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::settings::{ADMIN_KEY, TENANT_ID, TENANT_KEY};
use crate::store::Store;

/// Keys at most.
const KEYS_MAX: usize = 1_000;

/// Whose key a call has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    Admin,
    Tenant(String),
    /// A key that was deleted: still a valid token, but nothing is allowed to it.
    Revoked,
}

/// The keys that were given out.
#[derive(Debug)]
pub(crate) struct Keys(BTreeMap<String, Caller>);

impl Keys {
    pub(crate) fn new() -> Self {
        let keys = [(TENANT_KEY, Caller::Tenant(TENANT_ID.to_owned())), (ADMIN_KEY, Caller::Admin)];
        Self(keys.into_iter().map(|(key, caller)| (key.to_owned(), caller)).collect())
    }

    pub(crate) fn set(&mut self, key: &str, caller: Caller) {
        if self.0.len() < KEYS_MAX {
            self.0.insert(key.to_owned(), caller);
        }
    }

    /// Who calls.
    pub(crate) fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let header =
            metadata.get("authorization").ok_or_else(|| Status::unauthenticated("no authorization provided"))?;
        let header = header.to_str().unwrap_or_default();
        let key = header
            .strip_prefix("Bearer ")
            .ok_or_else(|| Status::unauthenticated("no bearer in authorization provided"))?;
        self.0.get(key).cloned().ok_or_else(|| Status::unauthenticated("JWT token decode error: InvalidToken"))
    }
}

impl Caller {
    /// May touch objects of this tenant. `None`: the object does not exist.
    fn may(&self, tenant_id: Option<&str>, missing: &str) -> Result<(), Status> {
        match (self, tenant_id) {
            (Self::Admin, Some(_)) => Ok(()),
            (Self::Admin, None) => Err(does_not_exist(missing)),
            (Self::Tenant(own), Some(tenant_id)) if own == tenant_id => Ok(()),
            (Self::Tenant(_) | Self::Revoked, _) => Err(Status::unauthenticated("")),
        }
    }

    pub(crate) fn may_use_tenant(&self, tenant_id: &str) -> Result<(), Status> {
        self.may(Some(tenant_id), tenant_id)
    }

    pub(crate) fn may_use_application(&self, store: &Store, id: &str) -> Result<(), Status> {
        self.may(store.applications.get(id).map(|application| application.object.tenant_id.as_str()), id)
    }

    pub(crate) fn may_use_profile(&self, store: &Store, id: &str) -> Result<(), Status> {
        self.may(store.profiles.get(id).map(|profile| profile.object.tenant_id.as_str()), id)
    }

    pub(crate) fn may_use_device(&self, store: &Store, dev_eui: &str) -> Result<(), Status> {
        let tenant_id = store.devices.get(dev_eui).and_then(|entry| {
            let application = store.applications.get(&entry.stored.object.application_id)?;
            Some(application.object.tenant_id.as_str())
        });
        self.may(tenant_id, dev_eui)
    }

    pub(crate) fn may_use_deployment(&self, store: &Store, id: &str) -> Result<(), Status> {
        match store.deployments.get(id) {
            Some(entry) => self.may_use_application(store, &entry.stored.object.application_id),
            None => self.may(None, id),
        }
    }

    pub(crate) fn may_use_multicast_group(&self, store: &Store, id: &str) -> Result<(), Status> {
        match store.multicast_groups.get(id) {
            Some(group) => self.may_use_application(store, &group.application_id),
            None => self.may(None, id),
        }
    }
}

/// What an administrator is told.
pub(crate) fn does_not_exist(id: &str) -> Status {
    Status::not_found(format!("Object does not exist (id: {id})"))
}

//! What a key may touch, as on a real server: a key that may not see an object isn't told whether the object exists.

use tonic::Status;

use crate::keys::Caller;
use crate::store::Store;

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

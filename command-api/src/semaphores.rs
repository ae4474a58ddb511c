//! Semaphores that limit a kind of work: one for the process, and one for each tenant in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::TenantId;
use tokio::sync::Semaphore;

/// What a process and each of its tenants may do at the same time.
pub(crate) struct Semaphores {
    process: Arc<Semaphore>,
    tenant_max: usize,
    /// One for each tenant whose work runs or waits.
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Semaphores {
    pub(crate) fn new(process_max: usize, tenant_max: usize) -> Self {
        Self { process: Arc::new(Semaphore::new(process_max)), tenant_max, tenants: Mutex::default() }
    }

    pub(crate) fn of_process(&self) -> Arc<Semaphore> {
        Arc::clone(&self.process)
    }

    pub(crate) fn of_tenant(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = tenants.get(tenant).and_then(Weak::upgrade) {
            return semaphore;
        }
        tenants.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.tenant_max));
        tenants.insert(tenant.clone(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_without_work_are_forgotten() {
        let semaphores = Semaphores::new(2, 1);
        let [one, other, third] = ["one", "other", "third"].map(|id| TenantId::new(id).unwrap());
        let of_one = semaphores.of_tenant(&one).try_acquire_owned().unwrap();
        assert!(semaphores.of_tenant(&one).try_acquire_owned().is_err());
        drop((of_one, semaphores.of_tenant(&other).try_acquire_owned().unwrap()));
        let _of_third = semaphores.of_tenant(&third);
        assert_eq!(semaphores.tenants.lock().unwrap().len(), 1);
    }
}

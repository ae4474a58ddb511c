//! Which tenants are at work, and when each deployment and each profile is looked at next. In memory: after a restart everything is looked
//! at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{FuotaDeploymentId, TenantId};
use tokio::time::Instant;

use crate::network::pause::Backoff;
use crate::network::turns::{Place, Turns};

/// Workers at the same time. One whose ChirpStack hangs ends after one call.
const WORKERS_MAX: usize = 64;
/// Tries of a deployment at which ChirpStack breaks, before it is given up.
pub(super) const BROKEN_TRIES_MAX: u32 = 6;
/// Pause between two tries to read a profile that is not known.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(60);
/// Unknown profiles of a tenant that are remembered. When there are more, all are asked for again.
const UNKNOWN_MAX: usize = 1_000;
/// Pause between two looks at the profiles of a tenant.
const PROFILES_INTERVAL: Duration = Duration::from_secs(600);

/// The work of all tenants.
pub(crate) struct Workers {
    turns: Arc<Turns>,
    tenants: Mutex<HashMap<TenantId, Tenant>>,
}

#[derive(Default)]
struct Tenant {
    observed_at: Option<Instant>,
    /// When profiles were asked for that may not exist.
    asked_at: HashMap<String, Instant>,
    deployments: HashMap<FuotaDeploymentId, Backoff>,
}

impl Default for Workers {
    fn default() -> Self {
        Self { turns: Turns::new(WORKERS_MAX), tenants: Mutex::default() }
    }
}

impl Workers {
    fn all(&self) -> MutexGuard<'_, HashMap<TenantId, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tenant's place among the workers, if its ChirpStack isn't left alone now.
    pub(super) fn begin(&self, tenant: &TenantId) -> Option<Place> {
        self.turns.take(tenant)
    }

    /// Whether the profiles of the tenant are to be read again.
    pub(super) fn profiles_are_due(&self, tenant: &TenantId) -> bool {
        let all = self.all();
        all.get(tenant).and_then(|tenant| tenant.observed_at).is_none_or(|at| at.elapsed() >= PROFILES_INTERVAL)
    }

    /// Whether a profile that is not known was asked for lately.
    pub(super) fn was_asked(&self, tenant: &TenantId, profile: &str) -> bool {
        let all = self.all();
        let asked = all.get(tenant).and_then(|tenant| tenant.asked_at.get(profile));
        asked.is_some_and(|at| at.elapsed() < UNKNOWN_INTERVAL)
    }

    pub(super) fn asked(&self, tenant: &TenantId, profile: &str) {
        let mut all = self.all();
        let asked = &mut all.entry(tenant.clone()).or_default().asked_at;
        if asked.len() >= UNKNOWN_MAX {
            asked.clear();
        }
        asked.insert(profile.to_owned(), Instant::now());
    }

    pub(super) fn profiles_observed(&self, tenant: &TenantId) {
        self.all().entry(tenant.clone()).or_default().observed_at = Some(Instant::now());
    }

    /// Whether a deployment is to be looked at now.
    pub(super) fn is_due(&self, tenant: &TenantId, id: FuotaDeploymentId) -> bool {
        let all = self.all();
        all.get(tenant).and_then(|tenant| tenant.deployments.get(&id)).is_none_or(|known| !known.rests())
    }

    /// Looks at a deployment again after a pause.
    pub(super) fn look_after(&self, tenant: &TenantId, id: FuotaDeploymentId, pause: Duration) {
        let mut all = self.all();
        all.entry(tenant.clone()).or_default().deployments.insert(id, Backoff::resting(pause));
    }

    /// Tries a deployment again later; says how often it was tried.
    pub(super) fn retry(&self, tenant: &TenantId, id: FuotaDeploymentId) -> u32 {
        let mut all = self.all();
        all.entry(tenant.clone()).or_default().deployments.entry(id).or_default().fail()
    }

    /// Whether a deployment is given up when ChirpStack breaks at it once more.
    pub(super) fn is_last_try(&self, tenant: &TenantId, id: FuotaDeploymentId) -> bool {
        let all = self.all();
        let known = all.get(tenant).and_then(|tenant| tenant.deployments.get(&id));
        known.is_some_and(|known| known.failures() + 1 >= BROKEN_TRIES_MAX)
    }

    /// Forgets all deployments but these.
    pub(super) fn keep(&self, tenant: &TenantId, live: &[FuotaDeploymentId]) {
        if let Some(tenant) = self.all().get_mut(tenant) {
            tenant.deployments.retain(|id, _| live.contains(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deployment_is_looked_at_when_it_is_due() {
        let (workers, acme) = (Workers::default(), TenantId::new("acme").unwrap());
        let id = FuotaDeploymentId(uuid::Uuid::nil());
        assert!(workers.is_due(&acme, id));
        workers.look_after(&acme, id, Duration::from_secs(5));
        assert!(!workers.is_due(&acme, id));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(workers.is_due(&acme, id));
        assert_eq!((workers.retry(&acme, id), workers.retry(&acme, id)), (1, 2));
        assert!(!workers.is_due(&acme, id) && !workers.is_last_try(&acme, id));
        for _ in 3..BROKEN_TRIES_MAX {
            workers.retry(&acme, id);
        }
        assert!(workers.is_last_try(&acme, id));
        workers.look_after(&acme, id, Duration::ZERO);
        assert!(!workers.is_last_try(&acme, id), "a try that succeeds ends the count");
        workers.keep(&acme, &[]);
        assert!(workers.is_due(&acme, id));
    }
}

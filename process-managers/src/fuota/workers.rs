//! Which tenants are at work, until when their ChirpStack is left alone, and when each deployment is looked at next. In memory: after a
//! restart everything is looked at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{FuotaDeploymentId, TenantId};
use tokio::time::Instant;

use crate::network::pause;

/// Workers at the same time. One whose ChirpStack hangs ends after one call.
const WORKERS_MAX: usize = 64;
/// How often a deployment is tried again at which ChirpStack breaks, before it is given up.
pub(super) const BROKEN_TRIES_MAX: u32 = 6;
/// Pause between two tries to read a profile that is not known.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(60);
/// Unknown profiles of a tenant that are remembered. When there are more, all are asked for again.
const UNKNOWN_MAX: usize = 1_000;
/// Pause between two looks at the profiles of a tenant.
const PROFILES_INTERVAL: Duration = Duration::from_secs(600);

/// The work of all tenants.
#[derive(Default)]
pub(crate) struct Workers(Mutex<HashMap<TenantId, Tenant>>);

#[derive(Default)]
struct Tenant {
    is_busy: bool,
    /// Calls without an answer in a row.
    failures: u32,
    not_before: Option<Instant>,
    observed_at: Option<Instant>,
    /// When profiles were asked for that may not exist.
    asked_at: HashMap<String, Instant>,
    deployments: HashMap<FuotaDeploymentId, Deployment>,
}

/// A deployment that is not looked at before a time.
struct Deployment {
    not_before: Instant,
    tries: u32,
}

impl Workers {
    fn all(&self) -> MutexGuard<'_, HashMap<TenantId, Tenant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tenant's place among the workers, if it has work and its ChirpStack isn't left alone now.
    pub(super) fn begin(&self, tenant: &TenantId, has_work: bool) -> bool {
        let mut all = self.all();
        let busy = all.values().filter(|tenant| tenant.is_busy).count();
        let now = Instant::now();
        let tenant = all.entry(tenant.clone()).or_default();
        let rests = tenant.not_before.is_some_and(|time| now < time);
        let begins = has_work && !rests && !tenant.is_busy && busy < WORKERS_MAX;
        tenant.is_busy |= begins;
        begins
    }

    /// Gives the tenant's place free. `answered`: its ChirpStack has answered every call.
    pub(super) fn ended(&self, tenant: &TenantId, answered: bool) {
        let mut all = self.all();
        let tenant = all.entry(tenant.clone()).or_default();
        tenant.is_busy = false;
        if answered {
            (tenant.failures, tenant.not_before) = (0, None);
        } else {
            tenant.failures = tenant.failures.saturating_add(1);
            tenant.not_before = Some(Instant::now() + pause::after(tenant.failures, rand::random()));
        }
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
        let known = all.get(tenant).and_then(|tenant| tenant.deployments.get(&id));
        known.is_none_or(|known| Instant::now() >= known.not_before)
    }

    /// Looks at a deployment again after a pause.
    pub(super) fn look_after(&self, tenant: &TenantId, id: FuotaDeploymentId, pause: Duration) {
        let mut all = self.all();
        let deployments = &mut all.entry(tenant.clone()).or_default().deployments;
        deployments.insert(id, Deployment { not_before: Instant::now() + pause, tries: 0 });
    }

    /// Tries a deployment again later; says how often it was tried.
    pub(super) fn retry(&self, tenant: &TenantId, id: FuotaDeploymentId) -> u32 {
        let mut all = self.all();
        let deployments = &mut all.entry(tenant.clone()).or_default().deployments;
        let known = deployments.entry(id).or_insert(Deployment { not_before: Instant::now(), tries: 0 });
        known.tries += 1;
        known.not_before = Instant::now() + pause::after(known.tries, rand::random());
        known.tries
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
    async fn a_chirpstack_that_is_away_holds_up_nobody_else() {
        let (workers, acme, rival) =
            (Workers::default(), TenantId::new("acme").unwrap(), TenantId::new("rival").unwrap());
        assert!(workers.begin(&acme, true) && !workers.begin(&acme, true), "one worker of a tenant");
        workers.ended(&acme, false);
        assert!(!workers.begin(&acme, true) && workers.begin(&rival, true));
        tokio::time::advance(pause::PAUSE_MAX).await;
        assert!(workers.begin(&acme, true));
    }

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
        workers.keep(&acme, &[]);
        assert!(workers.is_due(&acme, id));
    }
}

//! What is under way for each tenant, and until when a network server is left alone. In memory: after a restart everything is tried at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};
use tokio::time::Instant;

use super::pause;

/// Workers at the same time. One whose network server hangs ends after one call.
const WORKERS_MAX: usize = 64;
/// Sweeps at the same time.
const SWEEPS_MAX: usize = 8;
/// Devices of a tenant that wait for another try. When there are more, all are tried again.
const DEVICES_WAITING_MAX: usize = 10_000;
/// Tries of a device at which the network server breaks, before it counts as refused.
pub(super) const BROKEN_TRIES_MAX: u32 = 6;

/// The work of all tenants.
#[derive(Default)]
pub(crate) struct Workers(Mutex<HashMap<TenantId, Work>>);

#[derive(Default)]
struct Work {
    is_syncing: bool,
    is_sweeping: bool,
    /// When the last sweep began that saw everything.
    seen_until: Option<DateTime<Utc>>,
    /// Calls without an answer in a row.
    failures: u32,
    not_before: Option<Instant>,
    /// Revision of the connection that was used last.
    revision: u64,
    /// Revision of the connection with which everything refused was tried again.
    retried_with: u64,
    swept_at: Option<Instant>,
    devices: HashMap<DeviceId, Waiting>,
}

struct Waiting {
    tries: u32,
    not_before: Instant,
}

impl Workers {
    fn all(&self) -> MutexGuard<'_, HashMap<TenantId, Work>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tenant's place among the workers, if there is something to do and the network server isn't left alone now.
    pub(super) fn begin(&self, tenant: &TenantId, revision: u64, has_pending: bool) -> bool {
        let mut all = self.all();
        let busy = all.values().filter(|work| work.is_syncing).count();
        let work = all.entry(tenant.clone()).or_default();
        if work.revision != revision {
            work.revision = revision;
            // Another connection: what was wrong with the former one doesn't count.
            (work.failures, work.not_before, work.seen_until) = (0, None, None);
            work.devices.clear();
        }
        let is_due = has_pending || work.retried_with != revision;
        let rests = work.not_before.is_some_and(|time| Instant::now() < time);
        let begins = is_due && !rests && !work.is_syncing && busy < WORKERS_MAX;
        work.is_syncing |= begins;
        begins
    }

    /// Whether what another connection was refused is to be tried again.
    pub(super) fn retries_refused(&self, tenant: &TenantId, revision: u64) -> bool {
        self.all().get(tenant).is_none_or(|work| work.retried_with != revision)
    }

    pub(super) fn refused_retried(&self, tenant: &TenantId, revision: u64) {
        self.all().entry(tenant.clone()).or_default().retried_with = revision;
    }

    /// Gives the tenant's place free. `answered`: the network server has answered every call.
    pub(super) fn ended(&self, tenant: &TenantId, answered: bool) {
        let mut all = self.all();
        let work = all.entry(tenant.clone()).or_default();
        work.is_syncing = false;
        if answered {
            (work.failures, work.not_before) = (0, None);
        } else {
            work.failures = work.failures.saturating_add(1);
            work.not_before = Some(Instant::now() + pause::after(work.failures, rand::random()));
        }
    }

    /// Whether a device waits for another try.
    pub(super) fn waits(&self, tenant: &TenantId, device: &DeviceId) -> bool {
        let all = self.all();
        let waiting = all.get(tenant).and_then(|work| work.devices.get(device));
        waiting.is_some_and(|waiting| Instant::now() < waiting.not_before)
    }

    /// Has a device wait; says how often it was tried.
    pub(super) fn wait(&self, tenant: &TenantId, device: &DeviceId) -> u32 {
        let mut all = self.all();
        let devices = &mut all.entry(tenant.clone()).or_default().devices;
        if devices.len() >= DEVICES_WAITING_MAX && !devices.contains_key(device) {
            devices.clear();
        }
        let now = Instant::now();
        let waiting = devices.entry(device.clone()).or_insert(Waiting { tries: 0, not_before: now });
        waiting.tries += 1;
        waiting.not_before = now + pause::after(waiting.tries, rand::random());
        waiting.tries
    }

    pub(super) fn done(&self, tenant: &TenantId, device: &DeviceId) {
        if let Some(work) = self.all().get_mut(tenant) {
            work.devices.remove(device);
        }
    }

    /// Takes the tenant's place among the sweeps, if its last one is long ago; returns when the last one that saw everything began. The first comes after a part of the interval, another part for
    /// each tenant, so that not all begin at once.
    pub(super) fn begin_sweep(
        &self,
        tenant: &TenantId,
        interval: std::time::Duration,
    ) -> Option<Option<DateTime<Utc>>> {
        let mut all = self.all();
        let busy = all.values().filter(|work| work.is_sweeping).count();
        let now = Instant::now();
        let work = all.entry(tenant.clone()).or_default();
        let Some(swept_at) = work.swept_at else {
            work.swept_at = Some(now.checked_sub(interval.mul_f64(rand::random())).unwrap_or(now));
            return None;
        };
        let rests = work.not_before.is_some_and(|time| now < time);
        let begins = now - swept_at >= interval && !rests && !work.is_sweeping && busy < SWEEPS_MAX;
        work.is_sweeping |= begins;
        begins.then_some(work.seen_until)
    }

    /// `began`: when it began, if it saw everything.
    pub(super) fn sweep_ended(&self, tenant: &TenantId, began: Option<DateTime<Utc>>) {
        let mut all = self.all();
        let work = all.entry(tenant.clone()).or_default();
        work.is_sweeping = false;
        work.swept_at = Some(Instant::now());
        work.seen_until = began.or(work.seen_until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_server_that_is_away_is_asked_less_and_less_often_and_holds_up_nobody_else() {
        let (workers, acme, rival) = (Workers::default(), tenant("acme"), tenant("rival"));
        let (mut tries, begun) = (0, Instant::now());
        while begun.elapsed() < Duration::from_secs(3_600) {
            if workers.begin(&acme, 1, true) {
                tries += 1;
                workers.ended(&acme, false);
            }
            assert!(workers.begin(&rival, 1, true), "its own worker is free");
            workers.ended(&rival, true);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((55..=100).contains(&tries), "{tries} tries in an hour");
        tokio::time::advance(pause::PAUSE_MAX).await;
        assert!(workers.begin(&acme, 1, true), "it goes on within a minute");
        workers.ended(&acme, true);
        assert!(workers.begin(&acme, 1, true), "and without a pause from then on");
    }

    #[tokio::test(start_paused = true)]
    async fn another_connection_is_tried_at_once() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        assert!(workers.begin(&acme, 1, true));
        workers.refused_retried(&acme, 1);
        workers.ended(&acme, false);
        assert!(!workers.begin(&acme, 1, true));
        assert!(workers.retries_refused(&acme, 2) && workers.begin(&acme, 2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_at_which_the_network_server_breaks_waits_alone() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        let [one, other] = ["d-1", "d-2"].map(|id| DeviceId::new(id).unwrap());
        assert_eq!((workers.wait(&acme, &one), workers.wait(&acme, &one)), (1, 2));
        assert!(workers.waits(&acme, &one) && !workers.waits(&acme, &other));
        tokio::time::advance(pause::PAUSE_MAX).await;
        assert!(!workers.waits(&acme, &one));
        workers.done(&acme, &one);
        assert_eq!(workers.wait(&acme, &one), 1);
    }
}

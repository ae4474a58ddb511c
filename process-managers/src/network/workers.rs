//! What is known of each tenant's work: which devices wait, and how far sweeps are. In memory: after a restart everything is tried at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};
use tokio::time::Instant;

use super::pause::Backoff;
use super::turns::{Place, Turns};

/// Workers at the same time. One whose network server hangs ends after one call.
const WORKERS_MAX: usize = 64;
/// Sweeps at the same time.
const SWEEPS_MAX: usize = 8;
/// Devices of a tenant that wait for another try. When there are more, all are tried again.
const DEVICES_WAITING_MAX: usize = 10_000;
/// Tries of a device at which the network server breaks, before it counts as refused.
pub(super) const BROKEN_TRIES_MAX: u32 = 6;

/// The work of all tenants.
pub(crate) struct Workers {
    syncs: Arc<Turns>,
    sweeps: Arc<Turns>,
    tenants: Mutex<HashMap<TenantId, Work>>,
}

#[derive(Default)]
struct Work {
    /// Revision of the connection that was used last.
    revision: u64,
    /// Revision of the connection with which everything refused was tried again.
    retried_with: u64,
    devices: HashMap<DeviceId, Backoff>,
    /// When the last sweep ended, or began if it has not ended.
    swept_at: Option<Instant>,
    swept: Swept,
}

/// How far a tenant's sweeps have looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// For each application, when the last look at it began that saw all of it.
    pub(super) seen_until: HashMap<String, DateTime<Utc>>,
    /// Where the last sweep stopped before its end.
    pub(super) stopped_at: Option<Position>,
}

impl Swept {
    /// The index of the first application to look at. What is known of applications that are not listed is forgotten.
    pub(super) fn resume(&mut self, applications: &[String]) -> usize {
        self.seen_until.retain(|application, _| applications.contains(application));
        let stopped_at = self.stopped_at.as_ref().map(|position| &position.application);
        let first = applications.iter().position(|application| Some(application) == stopped_at);
        if first.is_none() {
            self.stopped_at = None;
        }
        first.unwrap_or(0)
    }
}

/// A place in the list of an application's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) application: String,
    /// When the look at the application began.
    pub(super) began: DateTime<Utc>,
    /// Offset of the page.
    pub(super) offset: u32,
    /// The last EUI that was looked at.
    pub(super) after: String,
}

impl Position {
    /// The first device of an application.
    pub(super) fn first(application: &str, began: DateTime<Utc>) -> Self {
        Self { application: application.to_owned(), began, offset: 0, after: String::new() }
    }
}

/// A sweep that is at work.
pub(super) struct BegunSweep {
    place: Place,
    /// Of the connection with which it works.
    revision: u64,
    pub(super) swept: Swept,
}

impl Default for Workers {
    fn default() -> Self {
        Self { syncs: Turns::new(WORKERS_MAX), sweeps: Turns::new(SWEEPS_MAX), tenants: Mutex::default() }
    }
}

impl Workers {
    fn all(&self) -> MutexGuard<'_, HashMap<TenantId, Work>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tenant's place among the workers, if there is something to do and the network server isn't left alone now.
    pub(super) fn begin(&self, tenant: &TenantId, revision: u64, has_pending: bool) -> Option<Place> {
        let mut all = self.all();
        let work = all.entry(tenant.clone()).or_default();
        if work.revision != revision {
            // What was wrong or was seen with another connection doesn't count.
            let Work { retried_with, swept_at, .. } = *work;
            *work = Work { revision, retried_with, swept_at, ..Work::default() };
            self.syncs.forget_failures(tenant);
        }
        if has_pending || work.retried_with != revision { self.syncs.take(tenant) } else { None }
    }

    /// Whether what another connection was refused is to be tried again.
    pub(super) fn retries_refused(&self, tenant: &TenantId, revision: u64) -> bool {
        self.all().get(tenant).is_none_or(|work| work.retried_with != revision)
    }

    pub(super) fn refused_retried(&self, tenant: &TenantId, revision: u64) {
        self.all().entry(tenant.clone()).or_default().retried_with = revision;
    }

    /// Whether a device waits for another try.
    pub(super) fn waits(&self, tenant: &TenantId, device: &DeviceId) -> bool {
        let all = self.all();
        all.get(tenant).and_then(|work| work.devices.get(device)).is_some_and(Backoff::rests)
    }

    /// Has a device wait; says how often it was tried.
    pub(super) fn wait(&self, tenant: &TenantId, device: &DeviceId) -> u32 {
        let mut all = self.all();
        let devices = &mut all.entry(tenant.clone()).or_default().devices;
        if devices.len() >= DEVICES_WAITING_MAX && !devices.contains_key(device) {
            devices.clear();
        }
        devices.entry(device.clone()).or_default().fail()
    }

    pub(super) fn done(&self, tenant: &TenantId, device: &DeviceId) {
        if let Some(work) = self.all().get_mut(tenant) {
            work.devices.remove(device);
        }
    }

    /// Takes the tenant's place among the sweeps, if its last one is long ago. The first comes after a part of the interval, another part
    /// for each tenant, so that not all begin at once.
    pub(super) fn begin_sweep(&self, tenant: &TenantId, interval: Duration) -> Option<BegunSweep> {
        let mut all = self.all();
        let now = Instant::now();
        let work = all.entry(tenant.clone()).or_default();
        let Some(swept_at) = work.swept_at else {
            work.swept_at = Some(now.checked_sub(interval.mul_f64(rand::random())).unwrap_or(now));
            return None;
        };
        if now - swept_at < interval || self.syncs.rests(tenant) {
            return None;
        }
        let place = self.sweeps.take(tenant)?;
        // So that the next one is due after the interval if this one panics.
        work.swept_at = Some(now);
        Some(BegunSweep { place, revision: work.revision, swept: work.swept.clone() })
    }

    /// Gives the place of a sweep free and keeps how far it came, unless the tenant has another connection by now.
    pub(super) fn sweep_ended(&self, sweep: BegunSweep) {
        let BegunSweep { place, revision, swept } = sweep;
        let mut all = self.all();
        let work = all.entry(place.tenant().clone()).or_default();
        work.swept_at = Some(Instant::now());
        if work.revision == revision {
            work.swept = swept;
        }
        drop(all);
        // Also when it stopped early: the interval is its only pause.
        place.leave(true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::pause::PAUSE_MAX;
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(600);

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_server_that_is_away_is_asked_less_and_less_often_and_holds_up_no_other_tenant() {
        let (workers, acme, rival) = (Workers::default(), tenant("acme"), tenant("rival"));
        let (mut tries, begun) = (0, Instant::now());
        while begun.elapsed() < Duration::from_secs(3_600) {
            if let Some(place) = workers.begin(&acme, 1, true) {
                tries += 1;
                place.leave(false);
            }
            workers.begin(&rival, 1, true).expect("its own worker is free").leave(true);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((55..=100).contains(&tries), "{tries} tries in an hour");
        tokio::time::advance(PAUSE_MAX).await;
        workers.begin(&acme, 1, true).expect("it goes on within a minute").leave(true);
        assert!(workers.begin(&acme, 1, true).is_some(), "and without a pause from then on");
    }

    #[tokio::test(start_paused = true)]
    async fn another_connection_is_tried_at_once() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        let place = workers.begin(&acme, 1, true).unwrap();
        workers.refused_retried(&acme, 1);
        place.leave(false);
        assert!(workers.begin(&acme, 1, true).is_none());
        assert!(workers.retries_refused(&acme, 2) && workers.begin(&acme, 2, false).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_at_which_the_network_server_breaks_waits_alone() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        let [one, other] = ["d-1", "d-2"].map(|id| DeviceId::new(id).unwrap());
        assert_eq!((workers.wait(&acme, &one), workers.wait(&acme, &one)), (1, 2));
        assert!(workers.waits(&acme, &one) && !workers.waits(&acme, &other));
        tokio::time::advance(PAUSE_MAX).await;
        assert!(!workers.waits(&acme, &one));
        workers.done(&acme, &one);
        assert_eq!(workers.wait(&acme, &one), 1);
    }

    /// The tenant's next sweep.
    async fn next_sweep(workers: &Workers, tenant: &TenantId) -> BegunSweep {
        // The first question chooses when the first sweep begins.
        let _ = workers.begin_sweep(tenant, INTERVAL);
        tokio::time::advance(INTERVAL).await;
        workers.begin_sweep(tenant, INTERVAL).expect("a sweep is due")
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_goes_on_where_the_last_one_stopped() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        let mut sweep = next_sweep(&workers, &acme).await;
        assert!(workers.begin_sweep(&acme, INTERVAL).is_none(), "one sweep of a tenant");
        assert_eq!(sweep.swept, Swept::default(), "the first one looks at everything");
        let began = DateTime::UNIX_EPOCH;
        sweep.swept.seen_until.insert("app-1".to_owned(), began);
        sweep.swept.stopped_at = Some(Position { after: "0b".to_owned(), ..Position::first("app-2", began) });
        let kept = sweep.swept.clone();
        workers.sweep_ended(sweep);
        assert!(workers.begin_sweep(&acme, INTERVAL).is_none(), "not before the interval has passed");
        assert_eq!(next_sweep(&workers, &acme).await.swept, kept);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_panics_gives_its_place_free_and_has_seen_nothing() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        let mut sweep = next_sweep(&workers, &acme).await;
        sweep.swept.seen_until.insert("app-1".to_owned(), DateTime::UNIX_EPOCH);
        drop(sweep);
        assert_eq!(next_sweep(&workers, &acme).await.swept, Swept::default());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_with_another_connection_does_not_count() {
        let (workers, acme) = (Workers::default(), tenant("acme"));
        workers.begin(&acme, 1, true).unwrap().leave(true);
        let mut sweep = next_sweep(&workers, &acme).await;
        sweep.swept.seen_until.insert("app-1".to_owned(), DateTime::UNIX_EPOCH);
        workers.begin(&acme, 2, true).unwrap().leave(true);
        workers.sweep_ended(sweep);
        assert_eq!(next_sweep(&workers, &acme).await.swept, Swept::default());
    }

    #[test]
    fn a_sweep_whose_application_is_gone_begins_with_the_first_one() {
        let began = DateTime::UNIX_EPOCH;
        let applications = ["app-1".to_owned(), "app-2".to_owned()];
        let mut swept = Swept { stopped_at: Some(Position::first("app-2", began)), ..Swept::default() };
        assert_eq!((swept.resume(&applications), swept.stopped_at.is_some()), (1, true));
        swept.seen_until.insert("app-2".to_owned(), began);
        assert_eq!((swept.resume(&applications[..1]), &swept), (0, &Swept::default()));
    }
}

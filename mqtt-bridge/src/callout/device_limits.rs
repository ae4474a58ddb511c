//! How often one device may log in, and how many connections it may have.
//!
//! Only accepted logins count, so nobody without its credential shuts a device out. nats-server ends the older of two connections with the
//! same client id, so a device has more connections than it has client ids only for a moment. Who logs in under many client ids is
//! [crowded](CrowdedDevices): nats-server is asked for its connections, and the oldest ones end.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use runtime::lifecycle::Tasks;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use trust::DeviceLogin;

use super::connections::{Connections, Whose};
use crate::limits::{Bucket, REMEMBERED_MAX, Rate};

/// Connections of a device that stay; when it has more, the oldest end.
pub const CONNECTIONS_MAX: usize = 4;
/// Logins of a device at one bridge: a device that loses its connection again and again stays below it.
const LOGINS: Rate = Rate { burst: 60, interval: Duration::from_secs(2) };
/// From a login that may be one too many to the look at the device's connections. Each look makes servers go through all of theirs.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Most devices that wait for a look. Others are noticed at their next login.
const CROWDED_MAX: usize = 10_000;

/// What a bridge remembers of the logins of devices.
pub(super) struct DeviceLimits {
    known: Cache<u64, Known>,
    hasher: RandomState,
    crowded: CrowdedDevices,
}

#[derive(Debug, Clone, Default)]
struct Known {
    logins: Bucket,
    /// The latest, each once.
    client_ids: Vec<u64>,
}

impl DeviceLimits {
    pub(super) fn new(crowded: CrowdedDevices) -> Self {
        let known = Cache::builder().max_capacity(REMEMBERED_MAX).build();
        Self { known, hasher: RandomState::new(), crowded }
    }

    /// Whether a device has logged in as often as it may.
    pub(super) fn is_exhausted(&self, device: &DeviceLogin, now: Instant) -> bool {
        let known = self.known.get(&self.hasher.hash_one(device.to_string()));
        known.is_some_and(|known| known.logins.ready_at(LOGINS, now) > now)
    }

    /// Counts a login.
    pub(super) fn accepted(&self, device: &DeviceLogin, client_id: &str, now: Instant) {
        let user = device.to_string();
        let (key, client_id) = (self.hasher.hash_one(&user), self.hasher.hash_one(client_id));
        let mut known = self.known.get(&key).unwrap_or_default();
        known.logins.charge(LOGINS, now);
        if !known.client_ids.contains(&client_id) {
            if known.client_ids.len() >= CONNECTIONS_MAX {
                known.client_ids.remove(0);
                self.crowded.add(user);
            }
            known.client_ids.push(client_id);
        }
        self.known.insert(key, known);
    }
}

/// Devices that may have too many connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CrowdedDevices(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    users: Mutex<HashSet<String>>,
    added: Notify,
}

impl CrowdedDevices {
    fn add(&self, user: String) {
        let mut users = self.lock();
        if users.len() < CROWDED_MAX {
            users.insert(user);
            self.0.added.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the oldest connections of crowded devices until stopped, with a connection to the system account.
    pub fn keep_ending_surplus(&self, system: async_nats::Client, tasks: &Tasks) {
        let (crowded, connections, stop) = (self.clone(), Connections::new(system), tasks.token().clone());
        tasks.spawn("mqtt-surplus", async move {
            stop.run_until_cancelled(crowded.end_surplus(&connections)).await;
        });
    }

    async fn end_surplus(&self, connections: &Connections) {
        loop {
            self.0.added.notified().await;
            sleep(LOOK_PAUSE).await;
            let users = std::mem::take(&mut *self.lock());
            let count = users.len();
            let whose = Whose { users, ..Whose::default() };
            match connections.end_surplus(&whose, CONNECTIONS_MAX).await {
                Ok(0) => {}
                Ok(ended) => {
                    tracing::warn!(devices = count, ended, "Devices had too many connections; the oldest end.")
                }
                Err(error) => tracing::warn!(%error, devices = count, "surplus connections of devices can't be ended"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> (DeviceLimits, CrowdedDevices) {
        let crowded = CrowdedDevices::default();
        (DeviceLimits::new(crowded.clone()), crowded)
    }

    fn device(name: &str) -> DeviceLogin {
        format!("acme/{name}").parse().unwrap()
    }

    #[test]
    fn a_device_logs_in_at_a_rate_and_others_at_theirs() {
        let ((limits, _), now) = (limits(), Instant::now());
        for _ in 0..LOGINS.burst {
            assert!(!limits.is_exhausted(&device("d-1"), now));
            limits.accepted(&device("d-1"), "acme/d-1", now);
        }
        assert!(limits.is_exhausted(&device("d-1"), now) && !limits.is_exhausted(&device("d-2"), now));
        assert!(!limits.is_exhausted(&device("d-1"), now + LOGINS.interval));
    }

    #[test]
    fn a_device_with_more_client_ids_than_connections_is_crowded() {
        let ((limits, crowded), now) = (limits(), Instant::now());
        let log_in = |name: &str, number: usize| limits.accepted(&device(name), &format!("acme/{name}/{number}"), now);
        for number in 0..2 * CONNECTIONS_MAX {
            log_in("calm", number % CONNECTIONS_MAX);
        }
        assert!(crowded.lock().is_empty());
        (0..=CONNECTIONS_MAX).for_each(|number| log_in("loud", number));
        assert_eq!(*crowded.lock(), HashSet::from(["acme/loud".to_owned()]));
    }
}

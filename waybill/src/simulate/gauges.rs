//! Counts of a running fleet.
//!
//! Each device keeps a [`DeviceStatus`] up to date; totals that must be exact at every moment (how many work at once) are atomics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::behaviour::Behaviour;
use super::flash::Install;

/// State and counts of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DeviceStatus {
    pub device_id: String,
    pub device_model: String,
    pub behaviour: Behaviour,
    pub connected: bool,
    pub powered: bool,
    /// `idle`, `hung`, or the stage of its last update.
    pub stage: &'static str,
    pub working: bool,
    pub versions: BTreeMap<String, String>,
    pub trial: bool,
    pub boot_id: String,
    pub session: String,
    pub ordinal: u64,
    pub attempt: u32,
    pub boots: u32,
    /// The last installs, oldest first; `install_count` counts all.
    pub installs: Vec<Install>,
    pub install_count: u32,
    /// Installs of a pair (ordinal, attempt) that was installed before.
    pub repeated_installs: u32,
    pub garbage: u64,
}

/// The status of one device, written by its task and read by the fleet.
#[derive(Debug, Default)]
pub(super) struct DeviceStatusCell(Mutex<DeviceStatus>);

impl DeviceStatusCell {
    pub(super) fn new(status: DeviceStatus) -> Self {
        Self(Mutex::new(status))
    }

    pub(super) fn read(&self) -> MutexGuard<'_, DeviceStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Totals of the fleet.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    working: AtomicU64,
    working_peak: AtomicU64,
    pub(super) connects: Counter,
    pub(super) lost_connections: Counter,
    pub(super) downloaded_bytes: Counter,
    pub(super) downloads: Counter,
    pub(super) reports: Counter,
    pub(super) acknowledged: Counter,
    pub(super) dropped_messages: Counter,
    pub(super) commands: Counter,
}

impl Gauges {
    /// A device began (or ended) to work on an update.
    pub(super) fn works(&self, begins: bool) {
        if begins {
            let now = self.working.fetch_add(1, Ordering::AcqRel) + 1;
            self.working_peak.fetch_max(now, Ordering::AcqRel);
        } else {
            self.working.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(super) fn working(&self) -> (u64, u64) {
        (self.working.load(Ordering::Acquire), self.working_peak.load(Ordering::Acquire))
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

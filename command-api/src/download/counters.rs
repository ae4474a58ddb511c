//! Downloads of this process, counted in memory until they are flushed.
//!
//! Invariant: each count is taken once. An open download holds its tally, so counting a chunk takes no lock. Entries that no download holds
//! and that are zero are removed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{CampaignId, DeviceId, FirmwareId, TenantId};
use projections::downloads::{Counted, Downloads};
use tokio::sync::Notify;

/// Most tallies at a time, about 2 MiB.
const TALLIES_MAX: usize = 10_000;
/// Room beyond it for downloads that are counted without their device, so that none is lost while the database is away.
const WITHOUT_DEVICE_MAX: usize = 1_000;
/// From this number on each new tally requests a flush at once, which makes room.
const TALLIES_CROWDED: usize = TALLIES_MAX / 2;

/// The key of a tally.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CountedBy {
    pub(super) tenant: TenantId,
    pub(super) firmware: FirmwareId,
    pub(super) campaign: Option<CampaignId>,
    pub(super) device: Option<DeviceId>,
}

/// Counts since the last flush.
#[derive(Debug, Default)]
pub(super) struct Tally {
    started: AtomicU64,
    completed: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    pub(super) fn started(&self) {
        metrics::counter!("waybill_downloads_started_total").increment(1);
        self.started.fetch_add(1, Relaxed);
    }

    pub(super) fn completed(&self) {
        metrics::counter!("waybill_downloads_completed_total").increment(1);
        self.completed.fetch_add(1, Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        metrics::counter!("waybill_download_bytes_total").increment(bytes);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn take(&self) -> Downloads {
        Downloads {
            started: self.started.swap(0, Relaxed),
            completed: self.completed.swap(0, Relaxed),
            bytes: self.bytes.swap(0, Relaxed),
        }
    }

    fn is_empty(&mut self) -> bool {
        [&mut self.started, &mut self.completed, &mut self.bytes].into_iter().all(|count| *count.get_mut() == 0)
    }
}

/// All tallies of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    tallies: Mutex<HashMap<CountedBy, Arc<Tally>>>,
    crowded: Notify,
}

impl Counters {
    /// The tally of a download. If there are too many, the download is counted without its device, or only in a metric.
    pub(super) fn tally(&self, by: CountedBy) -> Arc<Tally> {
        let mut tallies = self.lock();
        if let Some(tally) = tallies.get(&by) {
            return Arc::clone(tally);
        }
        if tallies.len() >= TALLIES_CROWDED {
            self.crowded.notify_one();
        }
        if tallies.len() >= TALLIES_MAX {
            let without_device = CountedBy { device: None, ..by };
            if tallies.contains_key(&without_device) || tallies.len() < TALLIES_MAX + WITHOUT_DEVICE_MAX {
                return Arc::clone(tallies.entry(without_device).or_default());
            }
            metrics::counter!("waybill_downloads_uncounted_total").increment(1);
            return Arc::default();
        }
        Arc::clone(tallies.entry(by).or_default())
    }

    /// Takes the counts since the last call.
    pub(crate) fn take(&self) -> Vec<Counted> {
        let mut taken = Vec::new();
        self.lock().retain(|by, tally| {
            let downloads = tally.take();
            if downloads != Downloads::default() {
                let CountedBy { tenant, firmware, campaign, device } = by.clone();
                taken.push(Counted { tenant, firmware, campaign, device, downloads });
            }
            // A tally that a download holds, or has just released, stays.
            Arc::get_mut(tally).is_none_or(|tally| !tally.is_empty())
        });
        taken
    }

    /// Resolves when there are nearly too many tallies.
    pub(super) async fn crowded(&self) {
        self.crowded.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CountedBy, Arc<Tally>>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn by(firmware: usize) -> CountedBy {
        let firmware = FirmwareId(Uuid::from_u128(firmware as u128));
        CountedBy { tenant: TenantId::new("acme").unwrap(), firmware, campaign: None, device: None }
    }

    fn counts(counters: &Counters) -> Vec<(u64, u64, u64)> {
        let taken = counters.take().into_iter().map(|row| row.downloads);
        taken.map(|downloads| (downloads.started, downloads.completed, downloads.bytes)).collect()
    }

    #[test]
    fn what_is_counted_is_taken_once() {
        let counters = Counters::default();
        let (first, second) = (counters.tally(by(1)), counters.tally(by(1)));
        first.started();
        second.started();
        first.sent(10);
        second.sent(5);
        second.completed();
        assert_eq!(counts(&counters), [(2, 1, 15)]);
        assert_eq!(counts(&counters), []);
        first.sent(7);
        drop((first, second));
        assert_eq!(counts(&counters), [(0, 0, 7)]);
    }

    #[test]
    fn tallies_are_kept_while_they_are_held_or_have_something_to_tell() {
        let counters = Counters::default();
        let open = counters.tally(by(1));
        counters.tally(by(2)).started();
        assert_eq!(counts(&counters).len(), 1);
        assert_eq!(counters.lock().len(), 1, "the open one");
        open.sent(1);
        assert!(Arc::ptr_eq(&open, &counters.tally(by(1))));
        drop(open);
        assert_eq!(counts(&counters), [(0, 0, 1)]);
        assert!(counters.lock().is_empty());
    }

    #[test]
    fn campaigns_of_a_firmware_are_counted_apart() {
        let counters = Counters::default();
        let campaign = Some(CampaignId(Uuid::from_u128(3)));
        counters.tally(by(1)).started();
        counters.tally(CountedBy { campaign, ..by(1) }).started();
        assert_eq!(counts(&counters), [(1, 0, 0), (1, 0, 0)]);
    }

    #[tokio::test]
    async fn there_is_a_bound_and_a_flush_makes_room() {
        let counters = Counters::default();
        for firmware in 0..TALLIES_MAX {
            assert_eq!(counters.crowded().now_or_never().is_some(), firmware > TALLIES_CROWDED, "{firmware}");
            counters.tally(by(firmware)).started();
        }
        // Then those of a firmware count together, and beyond the room for these not at all.
        let beyond = TALLIES_MAX + WITHOUT_DEVICE_MAX;
        for firmware in TALLIES_MAX..=beyond {
            let device = Some(DeviceId::new("d-1").unwrap());
            counters.tally(CountedBy { device, ..by(firmware) }).started();
        }
        counters.tally(by(0)).started();
        let taken = counters.take();
        assert_eq!(taken.len(), beyond);
        assert!(taken.iter().all(|row| row.device.is_none()));
        assert_eq!(taken.iter().map(|row| row.downloads.started).sum::<u64>(), beyond as u64 + 1);
        counters.tally(by(TALLIES_MAX)).started();
        assert_eq!(counts(&counters), [(1, 0, 0)]);
    }

    #[test]
    fn nothing_is_lost_between_counting_and_taking() {
        const CHUNKS: u64 = 20_000;
        let counters = Counters::default();
        let taken = std::thread::scope(|scope| {
            let counting: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..CHUNKS {
                            counters.tally(by(1)).sent(1);
                        }
                    })
                })
                .collect();
            let mut taken = 0;
            while counting.iter().any(|thread| !thread.is_finished()) {
                taken += counts(&counters).iter().map(|(_, _, bytes)| bytes).sum::<u64>();
            }
            taken
        });
        let rest: u64 = counts(&counters).iter().map(|(_, _, bytes)| bytes).sum();
        assert_eq!(taken + rest, 4 * CHUNKS);
    }
}

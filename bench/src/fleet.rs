//! A fleet in the log: commands of operators and devices through the executor, with the same actors as the API and the bridge.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use domain::device::{Arrival, Device, DeviceCommand, Mark, MarkTopic, Presence, Profile, Report, ReportStatus};
use domain::{Actor, CommandId, DeviceId, Key, Sealed, TenantId};
use event_store::{Committed, EventStore, Request};
use futures::{StreamExt, TryStreamExt};
use runtime::clock;

pub(crate) const TENANT: &str = "default";
pub(crate) const MODEL: &str = "SF-2024-Pro";
pub(crate) const OLD_VERSION: &str = "1.0.0";
pub(crate) const NEW_VERSION: &str = "2.0.0";
/// Commands in flight.
pub(crate) const IN_FLIGHT: usize = 256;
/// One device in this number is offline: 20 %.
const OFFLINE_EVERY: usize = 5;
/// One device in this number fails its first attempt: 2 %.
const FAILING_EVERY: usize = 50;
/// Devices share this many sites.
pub(crate) const SITES: usize = 100;
/// What a device reports before it restarts.
const STEPS: [ReportStatus; 5] = [
    ReportStatus::Received,
    ReportStatus::Downloading,
    ReportStatus::Verifying,
    ReportStatus::Installing,
    ReportStatus::Rebooting,
];

pub(crate) fn device_id(n: usize) -> Result<DeviceId> {
    Ok(DeviceId::new(format!("d-{n:07}"))?)
}

/// Offline devices never send a message.
pub(crate) fn is_offline(n: usize) -> bool {
    n % OFFLINE_EVERY == OFFLINE_EVERY - 1
}

pub(crate) fn is_failing(n: usize) -> bool {
    n.is_multiple_of(FAILING_EVERY)
}

/// The number in a device's id.
pub(crate) fn number_of(device: &DeviceId) -> Option<usize> {
    device.as_str().strip_prefix("d-")?.parse().ok()
}

pub(crate) fn actor(name: &str) -> Result<Actor> {
    Ok(Actor::new(name)?)
}

/// Devices of one tenant, and the commands that they cause.
pub(crate) struct Fleet {
    pub(crate) store: EventStore,
    pub(crate) tenant: TenantId,
    /// When the broker's store was made.
    incarnation_ms: u64,
    /// Messages of devices so far: their numbers in the broker's store.
    messages: AtomicU64,
}

impl Fleet {
    pub(crate) fn new(store: EventStore) -> Result<Self> {
        let incarnation_ms = clock::now().timestamp_millis().unsigned_abs();
        Ok(Self { store, tenant: TenantId::new(TENANT)?, incarnation_ms, messages: AtomicU64::new(0) })
    }

    fn key(&self, n: usize) -> Result<Key<Device>> {
        Ok(Key::new(&self.tenant, &device_id(n)?))
    }

    async fn command(&self, n: usize, by: &str, command: DeviceCommand) -> Result<Committed<Device>> {
        let request = Request::new(CommandId(clock::new_id()), actor(by)?, command);
        Ok(self.store.execute(&self.key(n)?, request).await?)
    }

    /// Registers devices.
    pub(crate) async fn register(&self, devices: Range<usize>) -> Result<()> {
        for_each(devices, |n| async move {
            let profile = Profile {
                name: Some(Sealed::from(format!("Frame {n}"))),
                device_type: Some("smart_frame".to_owned()),
                device_model: Some(MODEL.to_owned()),
                hardware_version: Some("1.2".to_owned()),
                tags: [("site".to_owned(), format!("site-{}", n % SITES))].into(),
                ..Profile::default()
            };
            let versions = [("firmware".to_owned(), OLD_VERSION.to_owned())].into();
            self.command(n, "user:bench", DeviceCommand::Register { profile, versions }).await.map(drop)
        })
        .await
    }

    /// The online devices report that they are online.
    pub(crate) async fn connect(&self, devices: Range<usize>) -> Result<()> {
        for_each(devices.filter(|n| !is_offline(*n)), |n| self.status(n, "b-1", OLD_VERSION)).await
    }

    /// A device reports what it runs since a boot.
    pub(crate) async fn status(&self, n: usize, boot: &str, version: &str) -> Result<()> {
        let presence = Presence {
            session: Some(format!("s-{boot}")),
            boot_id: Some(boot.to_owned()),
            versions: [("firmware".to_owned(), version.to_owned())].into(),
            ..Presence::default()
        };
        let command = DeviceCommand::from(presence).arrived(self.arrival(MarkTopic::Status));
        self.command(n, "device", command).await.map(drop)
    }

    /// A device carries out its update at once: reports each step, restarts, and reports the new version. A device that fails does so while
    /// it installs.
    pub(crate) async fn update(&self, n: usize, ordinal: u32, attempt: u16, fails: bool) -> Result<()> {
        for status in STEPS {
            let fails_now = fails && status == ReportStatus::Rebooting;
            let status = if fails_now { ReportStatus::Failed } else { status };
            self.report(n, ordinal, attempt, status).await?;
            if fails_now {
                return Ok(());
            }
        }
        self.status(n, &format!("b-{ordinal}-{attempt}"), NEW_VERSION).await
    }

    async fn report(&self, n: usize, ordinal: u32, attempt: u16, status: ReportStatus) -> Result<()> {
        let code = (status == ReportStatus::Failed).then(|| "install_failed".to_owned());
        let report = Report { ordinal, attempt, status, sha256: None, code, message: None, retry_after_s: None };
        let command = DeviceCommand::from(report).arrived(self.arrival(MarkTopic::Report));
        self.command(n, "device", command).await.map(drop)
    }

    fn arrival(&self, topic: MarkTopic) -> Arrival {
        let sequence = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        Arrival {
            mark: Some(Mark { topic, incarnation_ms: self.incarnation_ms, sequence, frame: None }),
            ..Arrival::default()
        }
    }

    /// End of the log.
    pub(crate) async fn head(&self) -> Result<u64> {
        Ok(self.store.log().info().await?.last_sequence)
    }
}

/// Runs a command for each item, many at the same time. The first error ends it.
pub(crate) async fn for_each<T, Fut>(items: impl IntoIterator<Item = T>, each: impl Fn(T) -> Fut) -> Result<()>
where
    Fut: Future<Output = Result<()>>,
{
    futures::stream::iter(items.into_iter().map(each))
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|()| async { Ok(()) })
        .await
}

/// How long work may take if it runs at least at this rate.
pub(crate) fn patience(count: usize) -> Duration {
    /// The lowest rate of a machine that measurements make sense on, in items per second.
    const SLOWEST: usize = 100;
    const LEAST_S: usize = 120;
    Duration::from_secs(LEAST_S.max(count / SLOWEST) as u64)
}

/// The device of a committed command, and its newest update.
pub(crate) fn newest_update(committed: &Committed<Device>) -> Result<(u32, u16)> {
    let device = &committed.aggregate;
    let update = device.update(device.last_ordinal).context("the device has no update")?;
    Ok((update.ordinal, update.attempt))
}

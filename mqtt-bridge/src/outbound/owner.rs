//! The owner of outbound: reads hints, processes a bounded number of devices at the same time, and stores its checkpoint.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::TenantId;
use event_store::{Delivery, StoreError, Subscription};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::deliver::{self, Delivered, Deliverer, FAILURE_PAUSE, memory};
use super::hints::{self, hint};
use super::pending::{Hint, NO_POSITION, Pending};
use super::retries::{Awaited, Retries};
use super::{DeviceRef, LiveDevices, Outbound};
use crate::checkpoint::Checkpoint;
use crate::command::Fingerprint;
use crate::link::{Connections, Link};
use crate::topics::Channel;

/// Without it all hints are followed again, which is slow but harmless.
const CHECKPOINT: &str = "mqtt-outbound-position";
/// Devices that are processed at the same time.
const IN_WORK_MAX: usize = 256;
/// Interval of writing the checkpoint.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of sweeps over all devices with live updates.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
/// Commands that the broker acknowledged within this time may not be on its disk: nats-server syncs every two minutes by default.
const LOSABLE: Duration = Duration::from_secs(300);
/// Pause after a sweep that failed.
const SWEEP_RETRY: Duration = Duration::from_secs(30);
/// Devices asked for at once in a sweep.
const SWEEP_PAGE: usize = 1_000;

type Work = BoxFuture<'static, (DeviceRef, Delivered)>;
type Page = Result<Vec<DeviceRef>, String>;

pub(super) struct Owner {
    deliverer: Arc<Deliverer>,
    live_devices: Arc<dyn LiveDevices>,
    connections: Connections,
    records: Subscription,
    checkpoint: Checkpoint,
    pending: Pending,
    in_work: FuturesUnordered<Work>,
    retries: Retries,
    sweep: Sweep,
}

/// A sweep over the devices with live updates, page by page.
enum Sweep {
    Resting {
        until: Instant,
    },
    /// `again`: begin again after the last page, because devices of earlier pages may have another command now.
    Asking {
        page: BoxFuture<'static, Page>,
        again: bool,
    },
}

impl Owner {
    pub(super) async fn begin(outbound: &Outbound, link: Arc<Link>) -> Result<Self, StoreError> {
        let mut connections = link.connections();
        connections.connected().await;
        let log = outbound.store.log();
        let checkpoint = Checkpoint::open(&outbound.waybill, CHECKPOINT, log.info().await?, 0).await?;
        let position = checkpoint.position();
        tracing::info!(position, "publishing commands from here on");
        Ok(Self {
            deliverer: Arc::new(Deliverer {
                store: outbound.store.clone(),
                link,
                links: Arc::clone(&outbound.links),
                memory: memory(),
                adjusted: deliver::adjusted(),
                changed_tenants: deliver::changed_tenants(),
            }),
            live_devices: Arc::clone(&outbound.live_devices),
            connections,
            records: log.subscribe(position + 1),
            checkpoint,
            pending: Pending::reading_from(position),
            in_work: FuturesUnordered::new(),
            retries: Retries::default(),
            sweep: Sweep::Resting { until: Instant::now() },
        })
    }

    /// Runs until stopped. Fails only if the log can no longer be followed.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut tick = interval(SAVE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_work();
            tokio::select! {
                () = stop.cancelled() => {
                    self.save().await;
                    return Ok(());
                }
                Some((device, delivered)) = self.in_work.next() => self.finish(device, delivered),
                connected = self.connections.changed() => self.on_connection(connected),
                page = self.sweep.page() => self.on_page(page),
                record = self.records.next(), if self.pending.has_room() => match record {
                    Some(delivery) => self.on_delivery(delivery?),
                    None => return Err(StoreError::Unavailable("the log's subscription ended".to_owned())),
                },
                _ = tick.tick() => self.on_tick().await,
            }
        }
    }

    fn take_work(&mut self) {
        while self.in_work.len() < IN_WORK_MAX && self.deliverer.link.is_connected() {
            let Some((device, hint)) = self.pending.take() else { return };
            self.in_work.push(Arc::clone(&self.deliverer).deliver(device, hint).boxed());
        }
    }

    fn finish(&mut self, device: DeviceRef, delivered: Delivered) {
        match delivered {
            Delivered::Stands { awaited } => {
                let from = self.pending.done(device.clone());
                for (channel, sent) in awaited.each() {
                    // A command beside updates may stay unanswered for days. After a change of owners a sweep finds it.
                    let from = if channel == Channel::Run { NO_POSITION } else { from };
                    let awaited = Awaited { device: device.clone(), channel, from };
                    self.retries.expect_answer(awaited, sent, Instant::now());
                }
            }
            Delivered::Failed => self.pending.failed(device, Instant::now() + FAILURE_PAUSE),
        }
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::CaughtUp { position } => self.pending.read_to(position),
            Delivery::Record(raw) => {
                if let Some(device) = hint(&raw) {
                    self.pending.add(device, Hint::at(raw.position));
                }
                if let Some(campaign) = hints::with_other_windows(&raw) {
                    self.deliverer.adjusted.insert((raw.key.tenant.clone(), campaign), raw.position);
                    self.sweep.request(Instant::now());
                }
                if hints::is_of_tenant(&raw) {
                    self.deliverer.changed_tenants.insert(raw.key.tenant.clone(), raw.position);
                    self.look_at_all_of(&raw.key.tenant);
                }
                self.pending.read_to(raw.position);
            }
        }
    }

    /// Devices whose command is published come first: it may have to be taken back. The others follow with the sweep.
    fn look_at_all_of(&mut self, tenant: &TenantId) {
        let published = self
            .deliverer
            .memory
            .iter()
            .filter(|(key, published)| key.0.tenant == *tenant && published.fingerprint != Fingerprint::Nothing);
        let published: Vec<DeviceRef> = published.map(|(key, _)| key.0.clone()).collect();
        for device in published {
            self.pending.add(device, Hint::look_again());
        }
        self.sweep.request(Instant::now());
    }

    /// A broker that was disconnected may have lost acknowledged messages: all known commands are published again, and recent removals too,
    /// because removed commands may be back.
    fn on_connection(&mut self, connected: bool) {
        if !connected {
            return;
        }
        let memory = &self.deliverer.memory;
        let standing: HashSet<DeviceRef> = memory
            .iter()
            .filter(|(_, published)| published.fingerprint != Fingerprint::Nothing || published.at.elapsed() < LOSABLE)
            .map(|(key, _)| key.0.clone())
            .collect();
        memory.invalidate_all();
        tracing::info!(devices = standing.len(), "MQTT broker is back; publishing all current commands");
        for device in standing {
            self.pending.add(device, Hint::look_again());
        }
    }

    fn on_page(&mut self, page: Page) {
        let now = Instant::now();
        let again = matches!(self.sweep, Sweep::Asking { again: true, .. });
        self.sweep = match page {
            Err(error) => {
                tracing::info!(error, "sweep over live updates failed");
                Sweep::Resting { until: now + SWEEP_RETRY }
            }
            Ok(devices) => {
                let last = devices.last().filter(|_| devices.len() >= SWEEP_PAGE).cloned();
                for device in devices {
                    self.pending.add(device, Hint::look_again());
                }
                match last {
                    Some(last) => Sweep::Asking { page: self.ask(Some(last)), again },
                    None => Sweep::finished(again, now),
                }
            }
        };
    }

    fn ask(&self, after: Option<DeviceRef>) -> BoxFuture<'static, Page> {
        let live_devices = Arc::clone(&self.live_devices);
        async move { live_devices.live_devices(after.as_ref(), SWEEP_PAGE).await }.boxed()
    }

    async fn on_tick(&mut self) {
        let now = Instant::now();
        self.pending.wake(now);
        while let Some(Awaited { device, channel, from }) = self.retries.take_due(now) {
            self.pending.add(device, Hint::repeat(channel, from));
        }
        if matches!(self.sweep, Sweep::Resting { until } if until <= now) && self.pending.has_room() {
            self.sweep = Sweep::Asking { page: self.ask(None), again: false };
        }
        metrics::gauge!("waybill_mqtt_outbound_pending").set(self.pending.len() as f64);
        self.save().await;
    }

    /// Stores the position from which the next owner must continue, so that it repeats unanswered commands.
    async fn save(&mut self) {
        self.checkpoint.save(self.retries.followed(self.pending.followed())).await;
    }
}

impl Sweep {
    /// All devices are to be looked at from now on, also those that a sweep under way has passed.
    fn request(&mut self, now: Instant) {
        match self {
            Self::Resting { until } => *until = now,
            Self::Asking { again, .. } => *again = true,
        }
    }

    /// After the last page.
    fn finished(again: bool, now: Instant) -> Self {
        Self::Resting { until: if again { now } else { now + SWEEP_INTERVAL } }
    }

    /// The next page, when it has arrived.
    async fn page(&mut self) -> Page {
        match self {
            Self::Resting { .. } => std::future::pending().await,
            Self::Asking { page, .. } => page.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_is_requested_during_another_follows_it_at_once() {
        let now = Instant::now();
        let begins = |sweep: &Sweep| matches!(sweep, Sweep::Resting { until } if *until <= now);
        let mut sweep = Sweep::finished(false, now);
        assert!(!begins(&sweep));
        sweep.request(now);
        assert!(begins(&sweep));
        let mut sweep = Sweep::Asking { page: std::future::pending().boxed(), again: false };
        sweep.request(now);
        let Sweep::Asking { again, .. } = sweep else { panic!("the sweep goes on") };
        assert!(begins(&Sweep::finished(again, now)));
    }
}

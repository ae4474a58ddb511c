//! The owner of outbound: reads hints, processes a bounded number of devices at the same time, and stores its checkpoint.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use event_store::{Delivery, StoreError, Subscription};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Outbound;
use super::deliver::{self, Deliverer};
use super::hints::{self, hint};
use super::pending::{Hint, NO_POSITION};
use super::retained::Retained;
use super::schedule::Schedule;
use crate::changed_tenants::{ChangedTenants, changed_tenants};
use crate::checkpoint::Checkpoint;
use crate::command::Fingerprint;
use crate::device_ref::DeviceRef;
use crate::link::{Connections, Link};
use crate::lorawan::clients::Clients;
use crate::lorawan::downlinks::Downlinks;
use crate::topics::Channel;
use crate::way::Way;

/// Without it all hints are followed again, which is slow but harmless.
const CHECKPOINT: &str = "mqtt-outbound-position";
/// Devices of MQTT that are processed at the same time.
const IN_WORK_MAX: usize = 256;
/// Devices of LoRaWAN that are processed at the same time, over all tenants. Few of a tenant call its ChirpStack at a time; the others wait
/// for their turn.
const DOWNLINKS_IN_WORK_MAX: usize = 4_096;
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

type Page = Result<Vec<DeviceRef>, String>;

pub(super) struct Owner<'a> {
    /// Every hint goes here first. Devices of LoRaWAN are passed on when they are loaded.
    mqtt: Schedule,
    lorawan: Schedule,
    downlinks: Arc<Downlinks>,
    outbound: &'a Outbound,
    adjusted: deliver::Adjusted,
    changed_tenants: ChangedTenants,
    connections: Connections,
    records: Subscription,
    checkpoint: Checkpoint,
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

impl<'a> Owner<'a> {
    pub(super) async fn begin(outbound: &'a Outbound, link: Arc<Link>) -> Result<Self, StoreError> {
        let mut connections = link.connections();
        connections.connected().await;
        let log = outbound.store.log();
        let checkpoint = Checkpoint::open(&outbound.waybill, CHECKPOINT, log.info().await?, 0).await?;
        let position = checkpoint.position();
        tracing::info!(position, "publishing commands from here on");
        let (adjusted, changed_tenants) = (deliver::adjusted(), changed_tenants());
        let deliverer = |way: Arc<dyn Way>| Deliverer {
            store: outbound.store.clone(),
            way,
            memory: deliver::memory(),
            adjusted: adjusted.clone(),
            changed_tenants: changed_tenants.clone(),
        };
        let clients = Clients::new(outbound.store.clone(), outbound.secrets.clone(), outbound.outward.clone());
        let downlinks = Arc::new(Downlinks::new(clients, changed_tenants.clone()));
        let retained = Retained { link, links: Arc::clone(&outbound.links) };
        Ok(Self {
            mqtt: Schedule::new(deliverer(Arc::new(retained)), IN_WORK_MAX, position),
            lorawan: Schedule::new(deliverer(downlinks.clone()), DOWNLINKS_IN_WORK_MAX, position),
            downlinks,
            outbound,
            adjusted,
            changed_tenants,
            connections,
            records: log.subscribe(position + 1),
            checkpoint,
            sweep: Sweep::Resting { until: Instant::now() },
        })
    }

    /// Runs until stopped. Fails only if the log can no longer be followed.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut tick = interval(SAVE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = self.outbound.ended.lock().await;
        loop {
            self.mqtt.take_work();
            self.lorawan.take_work();
            tokio::select! {
                () = stop.cancelled() => {
                    self.save().await;
                    return Ok(());
                }
                (device, delivered) = self.mqtt.processed() => {
                    if let Some((device, hint)) = self.mqtt.finish(device, delivered) {
                        self.lorawan.take_over(device, hint);
                    }
                }
                (device, delivered) = self.lorawan.processed() => {
                    if let Some((device, hint)) = self.lorawan.finish(device, delivered) {
                        self.mqtt.take_over(device, hint);
                    }
                }
                connected = self.connections.changed() => self.on_connection(connected),
                page = self.sweep.page() => self.on_page(page),
                Some(device) = ended.recv() => self.on_downlink_ended(device),
                record = self.records.next(), if self.mqtt.has_room() => match record {
                    Some(delivery) => self.on_delivery(delivery?),
                    None => return Err(StoreError::Unavailable("the log's subscription ended".to_owned())),
                },
                _ = tick.tick() => self.on_tick().await,
            }
        }
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::CaughtUp { position } => self.read_to(position),
            Delivery::Record(raw) => {
                if let Some(device) = hint(&raw) {
                    self.mqtt.add(device, Hint::at(raw.position));
                }
                if let Some(campaign) = hints::with_other_windows(&raw) {
                    self.adjusted.insert((raw.key.tenant.clone(), campaign), raw.position);
                    self.sweep.request(Instant::now());
                }
                let is_of_tenant = hints::is_of_tenant(&raw);
                if is_of_tenant {
                    self.changed_tenants.insert(raw.key.tenant.clone(), raw.position);
                }
                if is_of_tenant || hints::is_of_rules(&raw) {
                    self.mqtt.look_at_all_of(&raw.key.tenant);
                    self.lorawan.look_at_all_of(&raw.key.tenant);
                    // The sweep finds the others.
                    self.sweep.request(Instant::now());
                }
                self.read_to(raw.position);
            }
        }
    }

    /// Each hint is with the devices of MQTT first, so those of LoRaWAN have read as far.
    fn read_to(&mut self, position: u64) {
        self.mqtt.read_to(position);
        self.lorawan.read_to(position);
    }

    fn on_downlink_ended(&mut self, device: DeviceRef) {
        self.downlinks.has_ended(&device);
        self.lorawan.take_over(device, Hint::repeat(Channel::Commands, NO_POSITION));
    }

    /// A broker that was disconnected may have lost acknowledged messages: all known commands are published again, and recent removals too,
    /// because removed commands may be back.
    fn on_connection(&mut self, connected: bool) {
        if !connected {
            return;
        }
        let memory = self.mqtt.memory();
        let standing: HashSet<DeviceRef> = memory
            .iter()
            .filter(|(_, published)| published.fingerprint != Fingerprint::Nothing || published.at.elapsed() < LOSABLE)
            .map(|(key, _)| key.0.clone())
            .collect();
        memory.invalidate_all();
        tracing::info!(devices = standing.len(), "MQTT broker is back; publishing all current commands");
        for device in standing {
            self.mqtt.add(device, Hint::look_again());
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
                    self.mqtt.add(device, Hint::look_again());
                }
                match last {
                    Some(last) => Sweep::Asking { page: self.ask(Some(last)), again },
                    None => Sweep::finished(again, now),
                }
            }
        };
    }

    fn ask(&self, after: Option<DeviceRef>) -> BoxFuture<'static, Page> {
        let live_devices = Arc::clone(&self.outbound.live_devices);
        async move { live_devices.live_devices(after.as_ref(), SWEEP_PAGE).await }.boxed()
    }

    async fn on_tick(&mut self) {
        let now = Instant::now();
        self.mqtt.wake(now);
        self.lorawan.wake(now);
        if matches!(self.sweep, Sweep::Resting { until } if until <= now) && self.mqtt.has_room() {
            self.sweep = Sweep::Asking { page: self.ask(None), again: false };
        }
        metrics::gauge!("waybill_mqtt_outbound_pending").set(self.mqtt.waiting() as f64);
        metrics::gauge!("waybill_lorawan_outbound_pending").set(self.lorawan.waiting() as f64);
        self.save().await;
    }

    /// Stores the position from which the next owner must continue, so that it repeats unanswered commands.
    async fn save(&mut self) {
        self.checkpoint.save(self.mqtt.followed().min(self.lorawan.followed())).await;
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

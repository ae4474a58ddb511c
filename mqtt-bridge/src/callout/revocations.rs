//! Ends the connections of devices whose credentials have ended: nats-server asks only when a client connects.
//!
//! One process at a time follows EVENTS, from where the one before it stopped. A credential revoked or a device decommissioned ends all
//! connections of the device, a tenant closed those of all of its devices; a device with another live credential connects again. They are ended twice: a client that was being let in
//! when the record was stored may not be connected the first time.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Client;
use domain::{DeviceId, TenantId};
use event_store::lease::Lease;
use event_store::{Delivery, EventStore, RawRecord, Record, StoreError, Subscription};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use runtime::lifecycle::Tasks;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use trust::DeviceLogin;

use super::connections::{Connections, Listed, Whose};
use super::decision::reader_name;
use crate::checkpoint::Checkpoint;
use crate::event_name::name_of;

/// The lease of the process that ends connections, and how long it outlives its owner.
const LEASE: &str = "mqtt-revocations";
const LEASE_TERM: Duration = Duration::from_secs(5);
const CHECKPOINT: &str = "mqtt-revocations-position";
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Revocations that come within this time are one batch.
const BATCH_PAUSE: Duration = Duration::from_millis(100);
/// Most devices of a batch.
const BATCH_MAX: usize = 10_000;
/// Batches in work.
const BATCHES_MAX: usize = 16;
/// From the first time that connections are ended to the second: longer than nats-server waits for an answer (`timeout` of `authorization` in
/// nats.conf), because a device that was looked up before the record may be let in so much later.
const SECOND_AFTER: Duration = Duration::from_secs(6);
/// Pause after servers couldn't be asked.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The aggregates that have credentials, the one that has devices, and the events that end credentials.
const DEVICE: &str = "device";
const API_KEY: &str = "api_key";
const TENANT: &str = "tenant";
const ENDING: [&str; 4] = ["device.credential_revoked", "device.decommissioned", "api_key.revoked", "tenant.closed"];

pub(super) struct Revocations {
    pub(super) store: EventStore,
    pub(super) connections: Connections,
    /// A connection to the account of the log, for lease and checkpoint.
    pub(super) waybill: Client,
    pub(super) tasks: Tasks,
}

impl Revocations {
    /// Acquires the lease and follows the log while it has it, until stopped.
    pub(super) async fn run(self) {
        let stop = self.tasks.token().clone();
        Lease::hold(&self.waybill, &self.tasks, LEASE, LEASE_TERM, || self.own(&stop)).await;
    }

    async fn own(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let log = self.store.log();
        let info = log.info().await?;
        // The first time from the beginning of the log: devices may have been let in before this process followed it.
        let checkpoint = Checkpoint::open(&self.waybill, CHECKPOINT, info, 0).await?;
        let read_to = checkpoint.position();
        let follower = Follower {
            connections: self.connections.clone(),
            records: log.subscribe(read_to + 1),
            checkpoint,
            read_to,
            batch: None,
            in_work: FuturesUnordered::new(),
            unfinished: BTreeSet::new(),
        };
        follower.run(stop).await
    }
}

struct Follower {
    connections: Connections,
    records: Subscription,
    checkpoint: Checkpoint,
    read_to: u64,
    /// Devices that wait for others.
    batch: Option<Batch>,
    /// Each ends with the position that its batch began at.
    in_work: FuturesUnordered<BoxFuture<'static, u64>>,
    unfinished: BTreeSet<u64>,
}

struct Batch {
    whose: Whose,
    began: u64,
    closes: Instant,
}

impl Follower {
    async fn run(mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut tick = interval(SAVE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let closes = self.batch.as_ref().map(|batch| batch.closes);
            let has_room = self.in_work.len() < BATCHES_MAX;
            let is_full = self.batch.as_ref().is_some_and(|batch| batch.whose.len() >= BATCH_MAX);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(began) = self.in_work.next() => { self.unfinished.remove(&began); }
                () = sleep_until(closes.unwrap_or_else(Instant::now)), if closes.is_some() && has_room => self.begin(),
                record = self.records.next(), if !is_full => match record {
                    Some(delivery) => self.on_delivery(delivery?),
                    None => return Err(StoreError::Unavailable("the log's subscription ended".to_owned())),
                },
                _ = tick.tick() => self.save().await,
            }
        }
        self.save().await;
        Ok(())
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::CaughtUp { position } => self.read_to = self.read_to.max(position),
            Delivery::Record(raw) => {
                if let Some(ended) = ended(&raw) {
                    let closes = Instant::now() + BATCH_PAUSE;
                    let new = || Batch { whose: Whose::default(), began: raw.position, closes };
                    let whose = &mut self.batch.get_or_insert_with(new).whose;
                    match ended {
                        Ended::User(user) => drop(whose.users.insert(user)),
                        Ended::Tenant(tenant) => drop(whose.tenants.insert(tenant)),
                    }
                }
                self.read_to = self.read_to.max(raw.position);
            }
        }
    }

    fn begin(&mut self) {
        let Some(Batch { whose, began, .. }) = self.batch.take() else { return };
        self.unfinished.insert(began);
        self.in_work.push(end_twice(self.connections.clone(), whose).map(move |()| began).boxed());
    }

    /// The next owner begins with the first batch that isn't finished.
    async fn save(&mut self) {
        let waiting = self.batch.as_ref().map(|batch| batch.began);
        let unfinished = self.unfinished.first().copied().into_iter().chain(waiting).min();
        let done = unfinished.map_or(self.read_to, |began| began - 1);
        self.checkpoint.save(done).await;
    }
}

async fn end_twice(connections: Connections, whose: Whose) {
    let listed = until_ended(&connections, &whose, None).await;
    sleep(SECOND_AFTER).await;
    until_ended(&connections, &whose, Some(&listed)).await;
}

/// Repeats until the servers have answered.
async fn until_ended(connections: &Connections, whose: &Whose, before: Option<&Listed>) -> Listed {
    loop {
        match connections.end(whose, before).await {
            Ok(listed) => return listed,
            Err(error) => {
                let ended = whose.len();
                tracing::warn!(error, ended, "connections of devices without credentials can't be ended yet");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Who may no longer be connected.
enum Ended {
    /// The name under which nats-server lists them.
    User(String),
    Tenant(TenantId),
}

/// Whose credentials a record has ended. A damaged record ends none; loading the aggregate will report it.
fn ended(raw: &RawRecord) -> Option<Ended> {
    if !matches!(raw.key.kind.as_str(), DEVICE | API_KEY | TENANT) {
        return None;
    }
    let record = Record::decode(raw.position, &raw.body).ok()?;
    let tenant = raw.key.tenant.clone();
    record.events.iter().any(|stored| ends_credentials(stored.event.get())).then_some(())?;
    Some(match raw.key.kind.as_str() {
        TENANT => Ended::Tenant(tenant),
        API_KEY => Ended::User(reader_name(&tenant, &raw.key.id)),
        _ => Ended::User(DeviceLogin { tenant, device: DeviceId::new(raw.key.id.clone()).ok()? }.to_string()),
    })
}

fn ends_credentials(event: &str) -> bool {
    name_of(event).is_some_and(|name| ENDING.contains(&name.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::{SECOND_AFTER, ends_credentials};

    #[test]
    fn connections_are_ended_again_after_every_login_under_way_has_ended() {
        let conf = include_str!("../../../nats.conf");
        let timeout = conf.lines().find_map(|line| line.trim().strip_prefix("timeout: ")).unwrap();
        assert!(SECOND_AFTER.as_secs() > timeout.parse::<u64>().unwrap(), "{timeout}");
    }

    #[test]
    fn a_revocation_and_a_decommissioning_end_connections() {
        assert!(ends_credentials(r#"{"type":"device.credential_revoked","credential_id":"c"}"#));
        assert!(ends_credentials(r#"{"type":"device.decommissioned"}"#));
        assert!(ends_credentials(r#"{"type":"tenant.closed"}"#) && !ends_credentials(r#"{"type":"tenant.frozen"}"#));
        for other in [r#"{"type":"device.credential_issued"}"#, r#"{"type":"device.recommissioned"}"#, "{}", "[]"] {
            assert!(!ends_credentials(other), "{other}");
        }
    }
}

//! Reads ChirpStack's MQTT integration, for each tenant whose connection names a broker. A message goes into the queue as it came. It is
//! acknowledged to the broker when it is stored there.
//!
//! One process does this at a time, under a lease, because a session belongs to one connection. The connections follow the tenants.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_nats::Client;
use chirpstack::events::{Hints, TopicTemplate, normalise};
use domain::tenant::{ChirpStackConnection, EVENT_TOPIC_DEFAULT, Tenant};
use domain::{SecretRef, TenantId};
use event_store::lease::Lease;
use event_store::network::{RawEvent, RawEvents, RawSource};
use event_store::{AppendError, EventStore, Followed, SecretStore, StoreError};
use rand::Rng;
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use trust::SecretValue;

use super::metrics;
use crate::link::subscription::{ForeignBroker, Received, one_connection};

/// When a process that reads brokers dies, another takes over after about this time.
const LEASE_TERM: Duration = Duration::from_secs(5);
const LEASE: &str = "chirpstack-mqtt";
/// How often the connections of tenants are compared with what is connected.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);
/// Most brokers, of all tenants.
const BROKERS_MAX: usize = 256;
/// Messages of one broker that are stored at the same time.
const STORING_MAX: usize = 32;
/// Messages of one broker that wait to be stored.
const WAITING_MAX: usize = 512;
/// Pause after the first failure; doubles up to the longest, with jitter.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Ports of MQTT without and with TLS.
const PORT: u16 = 1_883;
const TLS_PORT: u16 = 8_883;

/// Whom a connection with TLS trusts, and what it shows.
#[derive(Clone, Copy, Default)]
pub struct BrokerTls<'a> {
    /// Certificates of the authority (PEM); those of the system when absent.
    pub ca: Option<&'a str>,
    /// A client certificate and its private key (PEM).
    pub identity: Option<(&'a str, &'a str)>,
}

/// Makes the settings of a connection with TLS.
pub type TlsSettings = Arc<dyn Fn(BrokerTls<'_>) -> Result<Arc<ClientConfig>, String> + Send + Sync>;

/// How many brokers this process reads, and how many of these connections are up.
#[derive(Debug, Default)]
pub struct BrokerCounts {
    wanted: AtomicI64,
    up: AtomicI64,
}

impl BrokerCounts {
    pub fn wanted(&self) -> i64 {
        self.wanted.load(Ordering::Relaxed)
    }

    pub fn up(&self) -> i64 {
        self.up.load(Ordering::Relaxed)
    }

    fn want(&self, brokers: usize) {
        let brokers = i64::try_from(brokers).unwrap_or(i64::MAX);
        self.wanted.store(brokers, Ordering::Relaxed);
        ::metrics::gauge!(metrics::WANTED).set(brokers as f64);
    }

    fn count_up(&self, change: i64) {
        let now = self.up.fetch_add(change, Ordering::Relaxed) + change;
        ::metrics::gauge!(metrics::CONNECTED).set(now as f64);
    }
}

/// What reading brokers needs.
#[derive(Clone)]
pub(crate) struct ForeignBrokers {
    pub(crate) waybill: Client,
    pub(crate) store: EventStore,
    pub(crate) queue: Arc<dyn RawEvents>,
    pub(crate) secrets: SecretStore,
    /// Where the addresses of brokers may lead.
    pub(crate) outward: Outward,
    pub(crate) tls: TlsSettings,
    pub(crate) counts: Arc<BrokerCounts>,
    pub(crate) tasks: Tasks,
}

/// A broker that is read, as long as this is kept.
struct Reading {
    revision: u64,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Reading {
    /// Whether it reads the connection of this revision. Its task may have panicked.
    fn is_of(&self, revision: u64) -> bool {
        self.revision == revision && !self.task.is_finished()
    }
}

/// Reads brokers whenever this process has the lease.
pub(crate) async fn follow(brokers: ForeignBrokers) {
    let tenants = Followed::<Tenant>::start(Arc::clone(brokers.store.log()), &brokers.tasks);
    let (waybill, tasks) = (brokers.waybill.clone(), brokers.tasks.clone());
    let reads = || async {
        let ended = read_all(&brokers, &tenants).await;
        brokers.counts.want(0);
        ended
    };
    Lease::hold(&waybill, &tasks, LEASE, LEASE_TERM, reads).await;
}

async fn read_all(brokers: &ForeignBrokers, tenants: &Followed<Tenant>) -> Result<(), StoreError> {
    let mut readings: HashMap<TenantId, Reading> = HashMap::new();
    let mut ticks = interval(FOLLOW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if brokers.tasks.token().is_cancelled() {
            return Ok(());
        }
        if !tenants.has_caught_up() {
            continue;
        }
        let wanted = tenants.filter_map(|tenant, state| {
            let (connection, revision) = state.chirpstack_in_use()?;
            connection.mqtt.is_some().then(|| (tenant.clone(), (connection.clone(), revision)))
        });
        let wanted = bounded(wanted);
        brokers.counts.want(wanted.len());
        readings.retain(|tenant, reading| wanted.get(tenant).is_some_and(|(_, revision)| reading.is_of(*revision)));
        for (tenant, (connection, revision)) in wanted {
            readings.entry(tenant.clone()).or_insert_with(|| {
                let stop = brokers.tasks.token().child_token();
                let reader = Reader { brokers: brokers.clone(), tenant, connection };
                let task = brokers.tasks.spawn("network-mqtt", reader.run(stop.clone()));
                Reading { revision, task, _stop: stop.drop_guard() }
            });
        }
    }
}

/// At most [`BROKERS_MAX`], and the same ones at each look: a change of another tenant ends no connection.
fn bounded<T>(mut wanted: Vec<(TenantId, T)>) -> HashMap<TenantId, T> {
    wanted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    wanted.into_iter().take(BROKERS_MAX).collect()
}

/// Reads the broker of one tenant.
struct Reader {
    brokers: ForeignBrokers,
    tenant: TenantId,
    connection: ChirpStackConnection,
}

impl Reader {
    async fn run(self, stop: CancellationToken) {
        let (mut failures, mut is_reported) = (0_u32, false);
        while !stop.is_cancelled() {
            let mut was_up = false;
            let ended = match self.broker().await {
                Ok((broker, template)) => {
                    stop.run_until_cancelled(self.connected(&broker, &template, &mut was_up)).await
                }
                Err(reason) => Some(reason),
            };
            if was_up {
                self.brokers.counts.count_up(-1);
            }
            let Some(reason) = ended else { return };
            failures = if was_up { 0 } else { failures.saturating_add(1) };
            if was_up || !is_reported {
                is_reported = true;
                tracing::warn!(tenant.id = %self.tenant, reason, "The broker of a ChirpStack can't be read; trying again.");
            }
            let pause = RETRY_PAUSE.saturating_mul(1 << failures.min(10)).min(RETRY_PAUSE_MAX);
            let jitter = rand::rng().random_range(0.5..1.0);
            stop.run_until_cancelled(sleep(pause.mul_f64(jitter))).await;
        }
    }

    /// Reads over one connection; returns why it ended.
    async fn connected(&self, broker: &ForeignBroker, template: &TopicTemplate, was_up: &mut bool) -> String {
        let (sender, received) = mpsc::channel(WAITING_MAX);
        let is_up = || {
            if !std::mem::replace(was_up, true) {
                tracing::info!(tenant.id = %self.tenant, mqtt.broker = ?broker, "The broker of a ChirpStack is read.");
                self.brokers.counts.count_up(1);
            }
        };
        tokio::select! {
            reason = one_connection(broker, &sender, is_up) => reason,
            () = self.store(received, template) => "ended".to_owned(),
        }
    }

    /// Stores messages and acknowledges them, some at a time.
    async fn store(&self, received: mpsc::Receiver<Received>, template: &TopicTemplate) {
        use futures::StreamExt;
        let messages = futures::stream::unfold(received, |mut received| async {
            let message = received.recv().await?;
            Some((message, received))
        });
        messages.for_each_concurrent(STORING_MAX, |message| self.keep(message, template)).await;
    }

    /// Stores one message, and tries again until it is stored. Meanwhile the broker sends only as many as may be unacknowledged.
    async fn keep(&self, message: Received, template: &TopicTemplate) {
        let event = template.read(&message.topic).and_then(|parts| parts.event);
        let read = normalise(&message.payload, &Hints { event: event.as_deref(), route: None });
        let raw = RawEvent {
            tenant: self.tenant.clone(),
            source: RawSource::Mqtt,
            event,
            route: None,
            origin: message.topic.clone(),
            id: read.ok().and_then(|read| read.dedup_key).map(|key| key.to_string()),
            body: message.payload.clone(),
        };
        let mut failures = 0_u32;
        loop {
            match self.brokers.queue.keep(&raw).await {
                Ok(()) => {
                    metrics::mqtt("stored");
                    break;
                }
                Err(AppendError::TooLarge { bytes, .. }) => {
                    metrics::mqtt("too_large");
                    tracing::warn!(tenant.id = %self.tenant, topic = message.topic, bytes, "A message of a ChirpStack is too large and is dropped.");
                    break;
                }
                Err(error) => {
                    metrics::mqtt("again");
                    tracing::debug!(%error, "a message of a ChirpStack can't be stored now");
                    sleep(RETRY_PAUSE.saturating_mul(1 << failures.min(4)).min(RETRY_PAUSE_MAX)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
        message.acknowledge().await;
    }

    /// The broker with its current secrets, and the form of its topics.
    async fn broker(&self) -> Result<(ForeignBroker, TopicTemplate), String> {
        let mqtt = self.connection.mqtt.as_ref().ok_or("no broker is named")?;
        let topic = mqtt.event_topic.as_deref().unwrap_or(EVENT_TOPIC_DEFAULT);
        let template = TopicTemplate::parse(topic).map_err(|error| error.to_string())?;
        let (host, port, is_tls) = host_and_port(&mqtt.url).ok_or("the broker's URL can't be read")?;
        let password = self.secret(mqtt.password.as_ref()).await?;
        let client_key = self.secret(mqtt.client_key.as_ref()).await?;
        let shown = BrokerTls {
            ca: mqtt.ca.as_deref(),
            identity: mqtt.client_certificate.as_deref().zip(client_key.as_ref().and_then(SecretValue::reveal_text)),
        };
        let password = password.as_ref().map_or(Some(""), SecretValue::reveal_text);
        let password = password.ok_or("the broker's password is no text")?.to_owned();
        let broker = ForeignBroker {
            host,
            port,
            client_id: format!("waybill-{}", self.tenant),
            credentials: mqtt.username.clone().map(|user| (user, password)),
            tls: if is_tls { Some((self.brokers.tls)(shown)?) } else { None },
            filter: template.filter(),
            outward: self.brokers.outward.clone(),
        };
        Ok((broker, template))
    }

    async fn secret(&self, named: Option<&SecretRef>) -> Result<Option<SecretValue>, String> {
        self.brokers.secrets.read_named(&self.tenant, named).await.map_err(|error| error.to_string())
    }
}

/// Host and port of `mqtt://` or `mqtts://`, and whether it is the latter.
fn host_and_port(url: &str) -> Option<(String, u16, bool)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_tls = scheme == "mqtts";
    let usual = if is_tls { TLS_PORT } else { PORT };
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|port| !port.is_empty()).map_or(Some(usual), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_owned(), port, is_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_whose_task_has_ended_is_replaced() {
        let tasks = Tasks::new();
        let reading = |task| Reading { revision: 1, task, _stop: CancellationToken::new().drop_guard() };
        let running = reading(tasks.spawn("reads", std::future::pending::<()>()));
        assert!(running.is_of(1) && !running.is_of(2));
        let ended = reading(tasks.spawn("panics", async { assert!(std::hint::black_box(false), "on purpose") }));
        while ended.is_of(1) {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn with_too_many_brokers_the_same_ones_are_read_at_each_look() {
        let all = (0..BROKERS_MAX + 20).map(|n| (TenantId::new(format!("t-{n}")).unwrap(), n));
        let (forward, backward) = (bounded(all.clone().collect()), bounded(all.rev().collect()));
        assert_eq!((forward.len(), &forward), (BROKERS_MAX, &backward));
    }

    #[test]
    fn a_url_names_host_port_and_encryption() {
        let read = |url: &str| host_and_port(url);
        assert_eq!(read("mqtt://lns"), Some(("lns".to_owned(), 1_883, false)));
        assert_eq!(read("mqtts://lns.example/"), Some(("lns.example".to_owned(), 8_883, true)));
        assert_eq!(read("mqtt://[::1]:1884"), Some(("::1".to_owned(), 1_884, false)));
        for wrong in ["lns", "mqtt://", "mqtt://lns:x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

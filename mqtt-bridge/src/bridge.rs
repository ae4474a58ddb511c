//! Starts the bridge.

use std::sync::Arc;

use async_nats::Client;
use event_store::dead_letters::DeadLetters;
use event_store::network::RawEvents;
use event_store::telemetry::Telemetry;
use event_store::{EventStore, SecretStore};
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;
use tokio::sync::{Mutex, watch};

use crate::command::Links;
use crate::inbound::{Answers, Backlog, Handler, Queues, Unfinished, measure_backlog, mqtt_msgs, unstored};
use crate::link::{BrokerAddress, Link};
use crate::lorawan::ended::ended_downlinks;
use crate::network::{BrokerCounts, ForeignBrokers, Intake, TlsSettings, follow_foreign_brokers, read_queue};
use crate::outbound::{LiveDevices, Outbound};

/// What the bridge needs.
pub struct BridgeOptions {
    /// A connection to the NATS account of the devices, as a user that may use JetStream there.
    pub devices: Client,
    /// A connection to the account of the log, for the lease.
    pub waybill: Client,
    /// The MQTT listener, with a user that may publish commands.
    pub broker: BrokerAddress,
    pub store: EventStore,
    pub telemetry: Telemetry,
    pub dead_letters: DeadLetters,
    pub links: Arc<dyn Links>,
    pub live_devices: Arc<dyn LiveDevices>,
    /// Of account WAYBILL: API keys of ChirpStack, passwords of its brokers.
    pub secrets: SecretStore,
    /// Where addresses that tenants set may lead.
    pub outward: Outward,
    /// Events of network servers.
    pub network: NetworkOptions,
    pub tasks: Tasks,
}

/// What events of network servers need.
pub struct NetworkOptions {
    /// Where they wait.
    pub queue: Arc<dyn RawEvents>,
    /// TLS of brokers.
    pub tls: TlsSettings,
}

/// The running bridge. It stops with its tasks.
pub struct Bridge {
    /// True once the durables exist, so that no published message is lost.
    pub ready: watch::Receiver<bool>,
    /// Messages of devices that are not processed yet.
    pub backlog: watch::Receiver<Backlog>,
    /// Brokers of ChirpStacks that this process reads.
    pub brokers: Arc<BrokerCounts>,
    link: Arc<Link>,
}

impl Bridge {
    pub fn start(options: BridgeOptions) -> Self {
        let BridgeOptions { devices, waybill, broker, store, telemetry, dead_letters, links, .. } = options;
        let BridgeOptions { live_devices, secrets, outward, network: NetworkOptions { queue, tls }, tasks, .. } =
            options;
        let (sender, ready) = watch::channel(false);
        let (measured, backlog) = watch::channel(Backlog::default());
        let link = Arc::new(Link::open(broker.clone(), "answers", &tasks));
        let measuring = measure_backlog(devices.clone(), Arc::clone(&link), measured, tasks.token().clone());
        tasks.spawn("mqtt-backlog", measuring);
        // The first MQTT connection also makes nats-server create the stream that inbound reads.
        let answers = Answers { store: store.clone(), link: Arc::clone(&link), links: Arc::clone(&links) };
        let handler = Handler::new(telemetry.clone(), dead_letters, answers, Unfinished::new(devices.clone()));
        let queues = Arc::new(Queues::start(&handler, &tasks));
        tasks.spawn("mqtt-unstored", unstored::run(devices.clone(), Arc::clone(&queues), tasks.token().clone()));
        let inbound = mqtt_msgs::run(devices, waybill.clone(), queues, telemetry, sender, tasks.token().clone());
        tasks.spawn("mqtt-inbound", inbound);
        let (downlinks_ended, ended) = ended_downlinks();
        let intake = Arc::new(Intake::new(store.clone(), handler, downlinks_ended));
        tasks.spawn("network-queue", read_queue(waybill.clone(), intake, tasks.clone()));
        let counts = Arc::new(BrokerCounts::default());
        let brokers = ForeignBrokers {
            waybill: waybill.clone(),
            store: store.clone(),
            queue,
            secrets: secrets.clone(),
            outward: outward.clone(),
            tls,
            counts: Arc::clone(&counts),
            tasks: tasks.clone(),
        };
        tasks.spawn("network-brokers", follow_foreign_brokers(brokers));
        let ended = Mutex::new(ended);
        let outbound =
            Outbound { broker, store, waybill, links, live_devices, secrets, outward, ended, tasks: tasks.clone() };
        tasks.spawn("mqtt-outbound", outbound.run());
        Self { ready, backlog, brokers: counts, link }
    }

    /// Whether this process is connected to the broker.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }
}

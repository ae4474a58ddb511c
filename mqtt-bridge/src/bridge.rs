//! Starts the bridge.

use std::sync::Arc;

use async_nats::Client;
use event_store::dead_letters::DeadLetters;
use event_store::telemetry::Telemetry;
use event_store::{EventStore, SecretStore};
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;
use tokio::sync::{Mutex, watch};

use crate::command::Links;
use crate::inbound::{Answers, Backlog, Handler, Queues, Unfinished, measure_backlog, mqtt_msgs, unstored};
use crate::link::{BrokerAddress, Link};
use crate::lorawan::DownlinksEnded;
use crate::lorawan::ended::ended_downlinks;
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
    /// Of account WAYBILL: API keys of ChirpStack.
    pub secrets: SecretStore,
    /// Where addresses that tenants set may lead.
    pub outward: Outward,
    pub tasks: Tasks,
}

/// The running bridge. It stops with its tasks.
pub struct Bridge {
    /// True once the durables exist, so that no published message is lost.
    pub ready: watch::Receiver<bool>,
    /// Messages of devices that are not processed yet.
    pub backlog: watch::Receiver<Backlog>,
    /// For whoever reads ChirpStack's events.
    pub downlinks_ended: DownlinksEnded,
    link: Arc<Link>,
}

impl Bridge {
    pub fn start(options: BridgeOptions) -> Self {
        let BridgeOptions { devices, waybill, broker, store, telemetry, dead_letters, links, .. } = options;
        let BridgeOptions { live_devices, secrets, outward, tasks, .. } = options;
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
        tasks.spawn("mqtt-inbound", mqtt_msgs::run(devices, queues, telemetry, sender, tasks.token().clone()));
        let (downlinks_ended, ended) = ended_downlinks();
        let ended = Mutex::new(ended);
        let outbound =
            Outbound { broker, store, waybill, links, live_devices, secrets, outward, ended, tasks: tasks.clone() };
        tasks.spawn("mqtt-outbound", outbound.run());
        Self { ready, backlog, downlinks_ended, link }
    }

    /// Whether this process is connected to the broker.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }
}

//! Sends commands to devices. Level-triggered: an event is only a hint that a device's command may have changed.
//!
//! One process at a time publishes commands; a lease decides which. The owner follows EVENTS from where the previous owner stopped, so no
//! hint is lost. For each named device it loads the aggregate and publishes the current command of its update, and the one that it should run
//! beside it, both retained. A regular sweep over the devices with live updates or a command under way renews links and corrects missing
//! commands. A device is never processed twice at the same time.
//!
//! Devices of MQTT and of LoRaWAN have a [`schedule`] each, and [`crate::way::Way`] has what differs: how a command is written and sent. LoRaWAN
//! waits for ChirpStack, MQTT never does.

mod deliver;
#[cfg(test)]
mod fake_way;
mod hints;
mod owner;
mod pending;
mod retained;
mod retries;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use event_store::lease::Lease;
use event_store::{EventStore, SecretStore};
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;
use tokio::sync::Mutex;

use crate::command::Links;
use crate::device_ref::DeviceRef;
use crate::link::{BrokerAddress, Link};
use crate::lorawan::ended::EndedDownlinks;
use owner::Owner;

/// The lease of the process that publishes commands.
const LEASE: &str = "mqtt-outbound";
/// How long a lease outlives its owner.
const LEASE_TERM: Duration = Duration::from_secs(5);

/// Lists devices with live updates or a command under way; may lag a little. May fail: commands are published without it.
#[async_trait]
pub trait LiveDevices: Send + Sync + 'static {
    /// The devices after `after` in the order of tenant and id, at most `limit`. Fewer mean that there are no more.
    async fn live_devices(&self, after: Option<&DeviceRef>, limit: usize) -> Result<Vec<DeviceRef>, String>;
}

pub(crate) struct Outbound {
    pub(crate) broker: BrokerAddress,
    pub(crate) store: EventStore,
    pub(crate) waybill: Client,
    pub(crate) links: Arc<dyn Links>,
    pub(crate) live_devices: Arc<dyn LiveDevices>,
    /// API keys of ChirpStack.
    pub(crate) secrets: SecretStore,
    /// Where the addresses of ChirpStack may lead.
    pub(crate) outward: Outward,
    pub(crate) ended: Mutex<EndedDownlinks>,
    pub(crate) tasks: Tasks,
}

impl Outbound {
    /// Acquires the lease and publishes while it has it, until stopped.
    pub(crate) async fn run(self) {
        let stop = self.tasks.token().clone();
        Lease::hold(&self.waybill, &self.tasks, LEASE, LEASE_TERM, || self.own(&stop)).await;
    }

    /// Publishes over its own connection, which is closed when the lease is lost, so that nothing is sent afterwards.
    async fn own(&self, stop: &tokio_util::sync::CancellationToken) -> Result<(), event_store::StoreError> {
        let link = Arc::new(Link::open(self.broker.clone(), "commands", &self.tasks));
        Owner::begin(self, link).await?.run(stop).await
    }
}

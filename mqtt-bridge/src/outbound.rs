//! Commands to devices, level-triggered: an event is only a hint that a device's command may have changed.
//!
//! One process at a time owns all outbound, by a lease. The owner follows EVENTS from where the last one stopped, so no hint is lost;
//! for each device named it loads the aggregate and publishes what should stand now, retained. A sweep over the devices with live
//! updates renews links and mends what else may have gone wrong. One device never has two publishes under way.

mod checkpoint;
mod deliver;
mod hints;
mod owner;
mod pending;
mod retries;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use domain::{DeviceId, TenantId};
use event_store::lease::Lease;
use event_store::lifecycle::Tasks;
use event_store::{EventStore, clock};

use crate::command::Links;
use crate::link::{BrokerAddress, Link};
use owner::Owner;

/// The lease of the one that publishes commands.
const LEASE: &str = "mqtt-outbound";
/// How long a lease outlives its owner.
const LEASE_TERM: Duration = Duration::from_secs(5);
/// Pause before the lease is sought again.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// A device of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRef {
    pub tenant: TenantId,
    pub device: DeviceId,
}

/// Knows which devices have an update under way, as of a moment ago. May fail: commands flow without it.
#[async_trait]
pub trait LiveDevices: Send + Sync + 'static {
    /// The devices behind `after` in the order of tenant and id, at most `limit`; fewer mean that there are no more.
    async fn live_devices(&self, after: Option<&DeviceRef>, limit: usize) -> Result<Vec<DeviceRef>, String>;
}

pub(crate) struct Outbound {
    pub(crate) broker: BrokerAddress,
    pub(crate) store: EventStore,
    pub(crate) waybill: Client,
    pub(crate) links: Arc<dyn Links>,
    pub(crate) live_devices: Arc<dyn LiveDevices>,
    pub(crate) tasks: Tasks,
}

impl Outbound {
    /// Seeks the lease and publishes while it is held, until stopped.
    pub(crate) async fn run(self) {
        let stop = self.tasks.token().clone();
        let name = clock::new_id().to_string();
        loop {
            let lease = tokio::select! {
                () = stop.cancelled() => return,
                lease = Lease::acquire(&self.waybill, &self.tasks, LEASE, &name, LEASE_TERM) => lease,
            };
            tokio::select! {
                () = lease.lost().cancelled() => {}
                ended = self.own(&stop) => match ended {
                    Ok(()) => return,
                    Err(error) => tracing::error!(%error, "publishing of commands ended"),
                },
            }
            drop(lease);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LEASE_PAUSE) => {}
            }
        }
    }

    /// Publishes with a connection of its own, which ends with it: nothing is sent by one that has lost the lease.
    async fn own(&self, stop: &tokio_util::sync::CancellationToken) -> Result<(), event_store::StoreError> {
        let link = Arc::new(Link::open(self.broker.clone(), "commands", &self.tasks));
        Owner::begin(self, link).await?.run(stop).await
    }
}

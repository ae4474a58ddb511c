//! A running double.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chirpstack::grpc::application::Application;
use chirpstack::grpc::device::Device;
use chirpstack::grpc::device_keys::DeviceKeys;
use chirpstack::grpc::device_profile::DeviceProfile;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use chirpstack::grpc::fuota::Deployment;
use runtime::lifecycle::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

use crate::control::{Command, ControlError};
use crate::control_http;
use crate::deployments;
use crate::events::Event;
use crate::firmware;
use crate::handle::Handle;
use crate::mqtt::{self, Broker};
use crate::mqtt_commands;
use crate::publisher;
use crate::radio::Downlink;
use crate::server;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::tls;

/// How long the tasks may take to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A running double. It stops when the last clone is dropped or with [`FakeChirpstack::stop`].
#[derive(Debug, Clone)]
pub struct FakeChirpstack {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handle: Handle,
    address: SocketAddr,
    is_tls: bool,
    control_address: Option<SocketAddr>,
    tasks: Tasks,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

impl FakeChirpstack {
    /// Starts with what `settings` say.
    pub async fn start(settings: Settings) -> std::io::Result<Self> {
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let is_tls = tls.is_some();
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let (publisher, waiting) = publisher::publisher(settings.webhooks);
        let (is_up, up) = watch::channel(true);
        let handle = Handle { shared: Arc::new(Shared::new(publisher)), is_up };
        let tasks = Tasks::new();
        let token = || tasks.token().clone();
        let shared = || Arc::clone(&handle.shared);
        let broker = settings.mqtt.as_ref().map(|settings| {
            let (broker, events) = Broker::new(settings);
            let (shared, protobuf) = (shared(), settings.protobuf);
            let take = move |topic: &str, payload: &[u8]| mqtt_commands::take(&shared, topic, payload, protobuf);
            tasks.spawn("fake-chirpstack-mqtt", mqtt::listen(broker.client(), events, take, token()));
            broker
        });
        tasks.spawn("fake-chirpstack-publisher", publisher::run(waiting, broker, token()));
        tasks.spawn("fake-chirpstack-deployments", deployments::run(shared(), settings.deployment_step, token()));
        tasks.spawn("fake-chirpstack-server", server::serve(listener, tls, shared(), up, tasks.clone()));
        if let Some(pause) = settings.plays_firmware {
            let downlinks = handle.shared.listen_to_downlinks();
            tasks.spawn("fake-chirpstack-firmware", firmware::play(shared(), downlinks, pause, token()));
        }
        let control_address = match settings.control_listen {
            Some(listen) => {
                let listener = TcpListener::bind(listen).await?;
                let address = listener.local_addr()?;
                tasks.spawn("fake-chirpstack-control", control_http::serve(listener, handle.clone(), tasks.clone()));
                Some(address)
            }
            None => None,
        };
        Ok(Self { inner: Arc::new(Inner { handle, address, is_tls, control_address, tasks }) })
    }

    /// The address for gRPC, as a connection's URL.
    #[must_use]
    pub fn url(&self) -> String {
        match self.inner.is_tls {
            true => format!("https://localhost:{}", self.inner.address.port()),
            false => format!("http://{}", self.inner.address),
        }
    }

    /// Where commands are taken over HTTP.
    #[must_use]
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.inner.control_address
    }

    pub fn carry_out(&self, command: Command) -> Result<(), ControlError> {
        self.inner.handle.carry_out(command)
    }

    /// How many calls there were whose path ends with this text, such as `DeviceService/Create`.
    #[must_use]
    pub fn calls(&self, path: &str) -> u64 {
        self.shared().calls(path)
    }

    #[must_use]
    pub fn device(&self, dev_eui: &str) -> Option<Device> {
        self.shared().with_store(|store, _| store.devices.get(dev_eui).map(|entry| entry.stored.object.clone()))
    }

    /// An application is there from now on, with all its fields.
    pub fn put_application(&self, application: Application) {
        self.shared().with_store(|store, _| store.add_application(application));
    }

    /// A device profile is there from now on, with all its fields.
    pub fn put_device_profile(&self, profile: DeviceProfile) {
        self.shared().with_store(|store, _| store.add_profile(profile));
    }

    #[must_use]
    pub fn devices(&self) -> Vec<Device> {
        self.shared().with_store(|store, _| store.devices.values().map(|entry| entry.stored.object.clone()).collect())
    }

    #[must_use]
    pub fn keys(&self, dev_eui: &str) -> Option<DeviceKeys> {
        self.shared().with_store(|store, _| {
            store.devices.get(dev_eui).and_then(|entry| entry.keys.as_ref()).map(|keys| keys.object.clone())
        })
    }

    /// What waits for the device, oldest first.
    #[must_use]
    pub fn queue(&self, dev_eui: &str) -> Vec<DeviceQueueItem> {
        self.shared().with_store(|store, _| {
            store.devices.get(dev_eui).map(|entry| entry.queue.iter().cloned().collect()).unwrap_or_default()
        })
    }

    #[must_use]
    pub fn deployments(&self) -> Vec<Deployment> {
        self.shared()
            .with_store(|store, _| store.deployments.values().map(|entry| entry.stored.object.clone()).collect())
    }

    /// Ids of the multicast groups that are there.
    #[must_use]
    pub fn multicast_groups(&self) -> Vec<String> {
        self.shared().with_store(|store, _| store.multicast_groups.keys().cloned().collect())
    }

    /// The last events, oldest first, delivered or not.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared().publisher.kept()
    }

    /// POSTs to webhooks that were answered with success, and those that weren't.
    #[must_use]
    pub fn deliveries(&self) -> (u64, u64) {
        self.shared().publisher.deliveries()
    }

    /// What is sent to devices from now on: for firmware that a test plays.
    #[must_use]
    pub fn listen_to_downlinks(&self) -> broadcast::Receiver<Downlink> {
        self.shared().listen_to_downlinks()
    }

    /// Stops and waits for its tasks.
    pub async fn stop(self) {
        self.inner.tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    }

    fn shared(&self) -> &Shared {
        &self.inner.handle.shared
    }
}

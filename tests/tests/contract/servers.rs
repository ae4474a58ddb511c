//! Logs for the contract, on servers that the test starts.

use std::sync::Arc;

use async_nats::{Client, ServerAddr};
use event_store::{JetStreamLog, Log, MemoryLog, connection, streams};
use runtime::lifecycle::Tasks;
use waybill::stack::{NatsCluster, NatsOptions, NatsServer, Spawner, Tools};

use crate::directory::Directory;

pub(super) async fn memory() -> (Arc<dyn Log>, ()) {
    (Arc::new(MemoryLog::new()), ())
}

pub(super) async fn one_server() -> (Arc<dyn Log>, OneServer) {
    let server = OneServer::start().await;
    (server.log().await, server)
}

/// One nats-server. Stopped when dropped.
pub(super) struct OneServer {
    pub(super) nats: NatsServer,
    tasks: Tasks,
    _directory: Directory,
}

impl OneServer {
    pub(super) async fn start() -> Self {
        let directory = Directory::new();
        let tools = Tools::locate().unwrap();
        let nats =
            NatsServer::start(&tools, &Spawner::start(), directory.path(), NatsOptions::default()).await.unwrap();
        Self { nats, tasks: Tasks::new(), _directory: directory }
    }

    /// A connection with the rights of the service.
    pub(super) async fn client(&self) -> Client {
        connect(&[self.nats.waybill_url()]).await
    }

    /// A connection with all rights.
    pub(super) async fn admin(&self) -> Client {
        connect(&[self.nats.url("admin", &self.nats.passwords().admin)]).await
    }

    pub(super) async fn log(&self) -> Arc<dyn Log> {
        self.log_over(self.client().await).await
    }

    pub(super) async fn log_over(&self, client: Client) -> Arc<dyn Log> {
        open(client, 1, &self.tasks).await
    }

    /// SIGKILL, and a restart on the same ports and data.
    pub(super) async fn kill_and_restart(&mut self) {
        self.nats.kill9();
        self.nats.restart().await.unwrap();
    }
}

/// Three nats-servers; streams have three replicas. Stopped when dropped.
pub(super) struct ThreeServers {
    pub(super) cluster: NatsCluster,
    tasks: Tasks,
    _directory: Directory,
}

impl ThreeServers {
    pub(super) async fn start() -> Self {
        let directory = Directory::new();
        let cluster = NatsCluster::start(&Tools::locate().unwrap(), directory.path(), 3).await.unwrap();
        Self { cluster, tasks: Tasks::new(), _directory: directory }
    }

    pub(super) async fn log(&self) -> Arc<dyn Log> {
        self.log_over(self.client().await).await
    }

    pub(super) async fn client(&self) -> Client {
        connect(&self.cluster.waybill_urls()).await
    }

    pub(super) async fn log_over(&self, client: Client) -> Arc<dyn Log> {
        open(client, 3, &self.tasks).await
    }

    /// Index of the server that a client is connected to.
    pub(super) fn server_of(&self, client: &Client) -> usize {
        let name = client.server_info().server_name;
        self.cluster.servers.iter().position(|server| server.server_name() == name).unwrap()
    }
}

async fn open(client: Client, replicas: usize, tasks: &Tasks) -> Arc<dyn Log> {
    streams::ensure(&client, replicas, streams::Missing::Create).await.unwrap();
    Arc::new(JetStreamLog::connect(client, tasks).await.unwrap())
}

async fn connect(urls: &[String]) -> Client {
    let addresses: Vec<ServerAddr> = urls.iter().map(|url| url.parse().unwrap()).collect();
    let (user, password) = (addresses[0].username().unwrap(), addresses[0].password().unwrap());
    let options = connection::options("contract").user_and_password(user.to_owned(), password.to_owned());
    options.connect(&addresses[..]).await.unwrap()
}

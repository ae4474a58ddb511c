//! Real servers as child processes: nats-server and PostgreSQL for `waybill up`, the demo, the tests and the bench.
//!
//! Only own processes are stopped, and none outlives its parent: on Linux each child asks the kernel for a SIGKILL at the death of the
//! thread that forked it, and one long-lived thread forks them all ([`spawner`]).

mod anonymous;
mod cluster;
mod data_dir;
mod nats;
mod ports;
mod postgres;
mod process;
mod spawner;
mod tools;

use std::path::Path;

use anyhow::Result;

pub use cluster::{NatsCluster, RouteSecrets, route_url};
pub use data_dir::DataDir;
pub use nats::{NatsOptions, NatsServer, Passwords};
pub use ports::{ensure_free, free_port};
pub use postgres::Postgres;
pub use process::Process;
pub use spawner::Spawner;
pub use tools::Tools;

/// The servers that one Waybill needs.
pub struct Stack {
    pub nats: NatsServer,
    pub postgres: Postgres,
    _data_dir: DataDir,
}

impl Stack {
    /// Starts both servers with data under `data_dir`; existing data is used. Both speak TLS if nats-server has certificates.
    pub async fn start(tools: &Tools, data_dir: &Path, nats: NatsOptions) -> Result<Self> {
        let data_dir = DataDir::open(data_dir)?;
        let spawner = Spawner::start();
        let certificates = nats.certificates.clone();
        let (postgres, nats_dir) = (data_dir.path().join("postgres"), data_dir.path().join("nats"));
        let (nats, postgres) = tokio::try_join!(
            NatsServer::start(tools, &spawner, &nats_dir, nats),
            Postgres::start_with(tools, &spawner, &postgres, certificates.as_deref()),
        )?;
        Ok(Self { nats, postgres, _data_dir: data_dir })
    }

    /// Restarts servers that have ended by themselves.
    pub async fn mend(&mut self) -> Result<()> {
        if self.nats.is_down() {
            tracing::warn!("nats-server has ended and is started again.");
            self.nats.restart().await?;
        }
        if self.postgres.is_down() {
            tracing::warn!("PostgreSQL has ended and is started again.");
            self.postgres.restart().await?;
        }
        Ok(())
    }

    /// Stops both in order and waits for them. Dropping this kills them.
    pub async fn stop(&mut self) {
        self.nats.terminate().await;
        self.postgres.stop().await;
    }
}

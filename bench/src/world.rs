//! Separate servers for each scenario, and the parts of Waybill that run against them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use event_store::telemetry::Telemetry;
use event_store::{EventStore, JetStreamLog, Log, SecretStore, streams};
use projections::{Db, Projections, rebuild};
use runtime::lifecycle::Tasks;
use tokio::runtime::{Builder, Runtime};
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::{NatsOptions, Stack, Tools};

use crate::cpu::Watched;

/// Replicas of the streams: each scenario has one nats-server.
const REPLICAS: usize = 1;
/// Threads of a part. All parts and servers share the machine's cores.
const PART_THREADS: usize = 2;

/// Name of the part that runs the projections.
pub(crate) const READ_SIDE: &str = "read side";
/// Name of the part that runs the executor and the process managers.
pub(crate) const MANAGERS: &str = "managers";

/// nats-server and PostgreSQL with empty data, and the read models' tables.
pub(crate) struct World {
    pub(crate) stack: Stack,
    directory: PathBuf,
}

impl World {
    pub(crate) async fn start(tools: &Tools, name: &str) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("waybill-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let stack = Stack::start(tools, &directory, NatsOptions::default()).await?;
        let client = waybill::nats::connect(&stack.nats.waybill_url(), "bench").await?;
        streams::ensure(&client, REPLICAS, streams::Missing::Create).await?;
        let db = Db::connect(&stack.postgres.url())?;
        db.migrate().await?;
        db.close().await;
        Ok(Self { stack, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A separate connection to the log.
    pub(crate) async fn log(&self, tasks: &Tasks) -> Result<Arc<dyn Log>> {
        connect(&self.stack.nats.waybill_url(), tasks).await.map(|(log, _)| log)
    }

    /// The servers and the parts of this process, for [`Watched::cpu`].
    pub(crate) fn watched(&self, parts: &[&'static str]) -> Watched {
        Watched {
            processes: self.stack.nats.pid().map(|pid| ("nats-server", pid)).into_iter().collect(),
            postmaster: self.stack.postgres.pid(),
            parts: parts.to_vec(),
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stack.stop().await;
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

async fn connect(url: &str, tasks: &Tasks) -> Result<(Arc<dyn Log>, Telemetry)> {
    let client = waybill::nats::connect(url, "waybill").await?;
    let telemetry = Telemetry::new(client.clone());
    Ok((Arc::new(JetStreamLog::connect(client, tasks).await?), telemetry))
}

/// A part of Waybill on a separate async runtime, so that its CPU time can be measured.
pub(crate) struct Part {
    runtime: Option<Runtime>,
}

impl Part {
    pub(crate) fn new(name: &'static str) -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(PART_THREADS).thread_name(name).enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a future on the part's threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.runtime()?.spawn(future).await?
    }

    /// Starts a task on the part's threads.
    pub(crate) fn spawn(
        &self,
        tasks: &Tasks,
        name: &'static str,
        future: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Result<()> {
        let _on_its_threads = self.runtime()?.enter();
        tasks.spawn(name, future);
        Ok(())
    }

    fn runtime(&self) -> Result<&Runtime> {
        self.runtime.as_ref().context("the part has ended")
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Async code must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

/// All projections, set up as by `waybill serve`, on a separate runtime.
pub(crate) struct ReadSide {
    part: Part,
    tasks: Tasks,
    log_tasks: Tasks,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) db: Db,
    pub(crate) projections: Projections,
}

impl ReadSide {
    /// Starts them, and returns when they have their tables.
    pub(crate) async fn start(world: &World) -> Result<Self> {
        let part = Part::new(READ_SIDE)?;
        let (nats, database) = (world.stack.nats.waybill_url(), world.stack.postgres.url());
        let (tasks, log_tasks) = (Tasks::new(), Tasks::new());
        let (own_tasks, own_log_tasks) = (tasks.clone(), log_tasks.clone());
        let (log, db, projections) = part
            .run(async move {
                let (log, telemetry) = connect(&nats, &own_log_tasks).await?;
                let db = Db::connect(&database)?;
                let projections = Projections::start(db.clone(), log.clone(), Some(Arc::new(telemetry)), &own_tasks);
                projections.started().await;
                Ok((log, db, projections))
            })
            .await?;
        Ok(Self { part, tasks, log_tasks, log, db, projections })
    }

    /// Names of the projections over EVENTS.
    pub(crate) async fn names(&self) -> Result<Vec<String>> {
        let all = self.projections.status().await?.into_iter().map(|status| status.name);
        Ok(all.filter(|name| name != projections::PRESENCE).collect())
    }

    /// Waits until the read models that show a campaign's progress reflect all records up to a position: all but the archive.
    pub(crate) async fn show(&self, position: u64, timeout: Duration) -> Result<()> {
        let mut names = self.names().await?;
        names.retain(|name| name != projections::ARCHIVE);
        self.wait_for(&names, position, timeout).await
    }

    async fn wait_for(&self, names: &[String], position: u64, timeout: Duration) -> Result<()> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.projections.wait_for(&names, position, timeout).await?)
    }

    /// Waits until every read model reflects all records up to a position, with no record parked.
    pub(crate) async fn reach(&self, position: u64, timeout: Duration) -> Result<()> {
        self.wait_for(&self.names().await?, position, timeout).await?;
        let parked: usize = self.projections.status().await?.iter().map(|status| status.parked).sum();
        ensure!(parked == 0, "{parked} aggregates could not be applied");
        Ok(())
    }

    /// Rebuilds one read model while the old one serves.
    pub(crate) async fn rebuild(&self, name: String) -> Result<()> {
        let (db, log) = (self.db.clone(), self.log.clone());
        self.part.run(async move { Ok(rebuild(&db, log, &name, |_, _| {}).await.map(drop)?) }).await
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown(SHUTDOWN_TIMEOUT).await;
        self.db.close().await;
        self.log_tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    }
}

/// The log, its executor and the process managers, set up as by `waybill serve`, on a separate runtime. Other senders of
/// commands share the executor and its cache, as the bridge does.
pub(crate) struct Managers {
    part: Part,
    tasks: Tasks,
    log_tasks: Tasks,
    db: Db,
    pub(crate) store: EventStore,
}

impl Managers {
    /// Connects; the process managers start later.
    pub(crate) async fn connect(world: &World) -> Result<Self> {
        let part = Part::new(MANAGERS)?;
        let (nats, log_tasks) = (world.stack.nats.waybill_url(), Tasks::new());
        let own_log_tasks = log_tasks.clone();
        let store = part.run(async move { Ok(EventStore::new(connect(&nats, &own_log_tasks).await?.0)) }).await?;
        let db = Db::connect(&world.stack.postgres.url())?;
        Ok(Self { part, tasks: Tasks::new(), log_tasks, db, store })
    }

    /// Starts the process managers.
    pub(crate) async fn start(&self, read_side: &ReadSide) -> Result<()> {
        self.start_with(read_side, None).await
    }

    /// Starts the process managers with the secrets of tenants, so that network servers are written to.
    pub(crate) async fn start_with(&self, read_side: &ReadSide, secrets: Option<SecretStore>) -> Result<()> {
        let (store, db, tasks) = (self.store.clone(), self.db.clone(), self.tasks.clone());
        let projections = read_side.projections.clone();
        self.part
            .run(async move {
                process_managers::start(
                    store,
                    db,
                    projections,
                    secrets,
                    None,
                    process_managers::Options::default(),
                    &tasks,
                );
                Ok(())
            })
            .await
    }

    pub(crate) async fn stop(self) {
        self.tasks.shutdown(SHUTDOWN_TIMEOUT).await;
        self.db.close().await;
        self.log_tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    }
}

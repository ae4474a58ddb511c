//! `waybill serve`: connects to the servers and starts the parts of the process's role.
//!
//! Order of starting: log, read models, process managers, bridge, API. Order of stopping: not ready, drain, stop, then force.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::ConnectOptions;
use event_store::dead_letters::DeadLetters;
use event_store::lifecycle::Tasks;
use event_store::telemetry::Telemetry;
use event_store::{EventStore, JetStreamLog, Log, streams};
use projections::{Db, Projections};

use crate::config::{Role, ServeArgs};

/// Longest wait for nats-server at start.
const NATS_START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest pause between two attempts to connect again.
const NATS_RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long tasks may take to end.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// A serving process.
pub struct Serving {
    pub http: SocketAddr,
    pub store: EventStore,
    pub db: Db,
    pub projections: Projections,
    tasks: Tasks,
}

impl Serving {
    /// Stops everything in order; true when all tasks ended in time.
    pub async fn stop(self) -> bool {
        self.tasks.shutdown(SHUTDOWN_TIMEOUT).await
    }
}

/// What every part works with.
struct Parts {
    waybill: async_nats::Client,
    store: EventStore,
    telemetry: Telemetry,
    db: Db,
    projections: Projections,
    tasks: Tasks,
}

/// Starts the parts of the role and returns when they are ready for requests.
pub async fn start(args: &ServeArgs) -> Result<Serving> {
    let tasks = Tasks::new();
    let waybill = connect(&args.nats_url, "waybill").await?;
    streams::ensure(&waybill, args.stream_replicas).await?;
    let log: Arc<dyn Log> = Arc::new(JetStreamLog::connect(waybill.clone(), &tasks).await?);
    let store = EventStore::new(log.clone());
    let telemetry = Telemetry::new(waybill.clone());
    let db = Db::connect(&args.database_url)?;
    let projections = if args.role.runs(Role::Projections) {
        Projections::start(db.clone(), log, Some(telemetry.clone()), &tasks)
    } else {
        Projections::follow(db.clone(), log, &tasks)
    };
    let parts = Parts { waybill, store, telemetry, db, projections, tasks };
    start_role(args, &parts).await?;
    let http = start_api(args, &parts).await?;
    let Parts { store, db, projections, tasks, .. } = parts;
    Ok(Serving { http, store, db, projections, tasks })
}

async fn start_role(args: &ServeArgs, parts: &Parts) -> Result<()> {
    if args.role.runs(Role::Projections) {
        event_store::feed::start(parts.waybill.clone(), parts.store.log().clone(), &parts.tasks);
    }
    if args.role.runs(Role::ProcessManagers) {
        let options = args.process_manager_options();
        process_managers::start(
            parts.store.clone(),
            parts.db.clone(),
            parts.projections.clone(),
            options,
            &parts.tasks,
        );
    }
    if args.role.runs(Role::Bridge) {
        start_bridge(args, parts).await?;
    }
    Ok(())
}

/// Runs until a signal asks for an end.
pub async fn run(args: &ServeArgs) -> Result<()> {
    let serving = start(args).await?;
    tracing::info!(http = %serving.http, "Waybill is ready.");
    stop_signal().await?;
    tracing::info!("Waybill is stopping.");
    serving.stop().await;
    Ok(())
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn stop_signal() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Connects to nats-server and keeps connecting again when it goes away. `name` also keeps its replies apart from other users'.
pub async fn connect(url: &str, name: &str) -> Result<async_nats::Client> {
    let address: async_nats::ServerAddr =
        url.parse().with_context(|| format!("{url:?} is no address of nats-server"))?;
    let place = format!("nats://{}:{}", address.host(), address.port());
    let deadline = tokio::time::Instant::now() + NATS_START_TIMEOUT;
    loop {
        match connect_options(&address, name).connect(&place).await {
            Ok(client) => return Ok(client),
            Err(error) if tokio::time::Instant::now() > deadline => {
                return Err(error).with_context(|| format!("nats-server at {place} can't be reached"));
            }
            Err(error) => {
                tracing::warn!(%error, nats = %place, "nats-server can't be reached yet.");
                tokio::time::sleep(NATS_RECONNECT_PAUSE_MAX).await;
            }
        }
    }
}

fn connect_options(address: &async_nats::ServerAddr, name: &str) -> ConnectOptions {
    let options = ConnectOptions::new()
        .name(name)
        .custom_inbox_prefix(format!("_INBOX_{name}"))
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| NATS_RECONNECT_PAUSE_MAX.min(Duration::from_millis(50 * tries as u64)));
    match (address.username(), address.password()) {
        (Some(user), Some(password)) => options.user_and_password(user.to_owned(), password.to_owned()),
        _ => options,
    }
}

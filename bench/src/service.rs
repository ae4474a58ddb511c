//! Waybill as a separate process with all parts, so that its CPU time and memory are measured alone.
//!
//! The process runs this program with another argument, so there is no second binary that could be older.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use waybill::api_client::ApiClient;
use waybill::config::ServeArgs;
use waybill::stack::{Process, Spawner, free_port};

use crate::cpu::Watched;
use crate::fleet::TENANT;
use crate::world::World;

/// First argument of a call that runs Waybill.
const SERVE: &str = "serve-for-bench";
/// Name of the process in reports.
pub(crate) const WAYBILL: &str = "waybill";
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);

#[derive(Parser)]
struct Served {
    #[command(flatten)]
    serve: ServeArgs,
}

/// The settings, if this process was called to run Waybill.
pub(crate) fn serve_args() -> Option<ServeArgs> {
    let mut given = std::env::args();
    let program = given.next()?;
    (given.next()? == SERVE).then(|| Served::parse_from([program].into_iter().chain(given)).serve)
}

/// A running Waybill and an operator of it.
pub(crate) struct Service {
    process: Process,
    pub(crate) api: ApiClient,
}

impl Service {
    /// Starts it with the servers of a world, and returns when it is ready.
    pub(crate) async fn start(world: &World) -> Result<Self> {
        Self::start_with(world, |_| vec![]).await
    }

    /// The same with further arguments, which may need the origin of the API.
    pub(crate) async fn start_with(world: &World, more: impl FnOnce(&str) -> Vec<String>) -> Result<Self> {
        let http = format!("127.0.0.1:{}", free_port()?);
        let base = format!("http://{http}");
        let (stack, data) = (&world.stack, world.directory().join("service"));
        let args = [
            SERVE,
            "--development",
            "--http-listen",
            &http,
            "--nats-url",
            &stack.nats.waybill_url(),
            "--nats-devices-url",
            &stack.nats.devices_url(),
            "--nats-auth-url",
            &stack.nats.auth_url(),
            "--nats-system-url",
            &stack.nats.system_url(),
            "--nats-issuer-seed",
            stack.nats.issuer_seed(),
            "--anonymous-devices",
            "--mqtt-url",
            &stack.nats.mqtt_url(),
            "--database-url",
            &stack.postgres.url(),
            "--data-dir",
            &data.display().to_string(),
        ];
        let program: PathBuf = std::env::current_exe()?;
        let log = world.directory().join("waybill.log");
        let args: Vec<String> = args.map(str::to_owned).into_iter().chain(more(&base)).collect();
        let mut process = Process::run(WAYBILL, &Spawner::start(), &program, &args, &log)?;
        ready(&base, &mut process).await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let api = ApiClient::sign_in(&base, TENANT, &["admin"]).await?;
        Ok(Self { process, api })
    }

    /// Its process beside the world's servers.
    pub(crate) fn watched(&self, world: &World) -> Watched {
        let mut watched = world.watched(&[]);
        watched.processes.push((WAYBILL, self.process.pid()));
        watched
    }

    /// Waits until every read model has reached the end of the log.
    pub(crate) async fn caught_up(&self, patience: Duration) -> Result<()> {
        let (began, url) = (Instant::now(), format!("{}/health/detailed", self.api.base()));
        loop {
            let reply = self.api.http().get(&url).bearer_auth(self.api.token()).send().await?;
            let health: Value = reply.error_for_status()?.json().await?;
            let parts = health["components"].as_array().context("no components")?;
            let mut lags = parts.iter().filter_map(|part| part["lag"].as_u64()).peekable();
            if lags.peek().is_some() && lags.all(|lag| lag == 0) {
                return Ok(());
            }
            ensure!(began.elapsed() < patience, "the read models haven't caught up: {health}");
            tokio::time::sleep(READY_POLL).await;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.process.terminate().await;
    }
}

async fn ready(base: &str, process: &mut Process) -> Result<()> {
    let (began, http) = (Instant::now(), reqwest::Client::new());
    loop {
        let reply = http.get(format!("{base}/health/ready")).send().await;
        if reply.is_ok_and(|reply| reply.status().is_success()) {
            return Ok(());
        }
        ensure!(process.ended().is_none(), "waybill has ended");
        ensure!(began.elapsed() < READY_TIMEOUT, "waybill isn't ready");
        tokio::time::sleep(READY_POLL).await;
    }
}

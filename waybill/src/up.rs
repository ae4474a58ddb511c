//! `waybill up`: servers and service in the foreground, for development.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::config::ServeArgs;
use crate::out;
use crate::secrets::write_private;
use crate::serve::{self, Serving};
use crate::stack::{NatsOptions, Passwords, Stack, Tools, ensure_free, free_port};

/// File in the data directory with the address of this stack's PostgreSQL, for `waybill replay` and `waybill rebuild`.
pub const DATABASE_URL_FILE: &str = "database-url";
/// The same for nats-server, with the service's user.
pub const NATS_URL_FILE: &str = "nats-url";
/// The same for the MQTT listener, as host and port.
pub const MQTT_ADDRESS_FILE: &str = "mqtt-address";
/// The same for the API.
pub const API_URL_FILE: &str = "api-url";

/// Interval of checking that the servers run.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How long the start waits for the read models' tables.
const TABLES_TIMEOUT: Duration = Duration::from_secs(60);

/// Addresses and data directory.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address of the HTTP API
    #[arg(long, default_value = "127.0.0.1:8240", env = "WAYBILL_HTTP_LISTEN")]
    pub http_listen: SocketAddr,
    /// Address of the MQTT listener
    #[arg(long, default_value = "127.0.0.1:1883", env = "WAYBILL_MQTT_LISTEN")]
    pub mqtt_listen: SocketAddr,
    /// Address of nats-server
    #[arg(long, default_value = "127.0.0.1:4222", env = "WAYBILL_NATS_LISTEN")]
    pub nats_listen: SocketAddr,
    /// Directory of all data
    #[arg(long, default_value = ".waybill", env = "WAYBILL_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Let in MQTT clients without user and password as any device of any tenant
    #[arg(long, env = "WAYBILL_ANONYMOUS_DEVICES")]
    pub anonymous_devices: bool,
}

impl Args {
    /// Checks that no two addresses are the same.
    fn check(&self) -> Result<()> {
        let places = [
            (self.http_listen, "WAYBILL_HTTP_LISTEN"),
            (self.mqtt_listen, "WAYBILL_MQTT_LISTEN"),
            (self.nats_listen, "WAYBILL_NATS_LISTEN"),
        ];
        for (n, (one, name)) in places.iter().enumerate() {
            for (other, other_name) in &places[n + 1..] {
                let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
                ensure!(
                    one.port() == 0 || one.port() != other.port() || !same_host,
                    "{name} and {other_name} are the same address, {one}: give each its own port"
                );
            }
        }
        Ok(())
    }
}

/// A whole Waybill on this machine: its servers and its service.
pub struct Running {
    pub stack: Stack,
    pub serving: Serving,
}

impl Running {
    /// Stops the service, then the servers.
    pub async fn stop(mut self) {
        self.serving.stop().await;
        self.stack.stop().await;
    }
}

/// Settings of the service for a stack on this machine, in development mode.
pub fn serve_args(args: &Args, stack: &Stack, extra: &[&str]) -> ServeArgs {
    let mut serve = given(extra);
    serve.http_listen = args.http_listen;
    serve.nats_url = stack.nats.waybill_url();
    serve.nats_devices_url = stack.nats.devices_url();
    serve.nats_auth_url = stack.nats.auth_url();
    serve.nats_system_url = stack.nats.system_url();
    serve.nats_issuer_seed = stack.nats.issuer_seed().to_owned();
    serve.mqtt_url = stack.nats.mqtt_url();
    serve.database_url = stack.postgres.url();
    serve.data_dir.clone_from(&args.data_dir);
    serve.anonymous_devices = args.anonymous_devices;
    serve.development = true;
    serve
}

/// Other settings still come from flags and environment.
fn given(extra: &[&str]) -> ServeArgs {
    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        serve: ServeArgs,
    }
    Only::parse_from([&["waybill"], extra].concat()).serve
}

/// Writes all addresses to the data directory, for other commands and for scripts. Some contain passwords.
fn write_places(data_dir: &Path, stack: &Stack, origin: &str) -> Result<()> {
    for (file, place) in [
        (DATABASE_URL_FILE, stack.postgres.url()),
        (NATS_URL_FILE, stack.nats.waybill_url()),
        (MQTT_ADDRESS_FILE, stack.nats.mqtt_listen().to_string()),
        (API_URL_FILE, origin.to_owned()),
    ] {
        write_private(&data_dir.join(file), place.as_bytes())?;
    }
    Ok(())
}

/// Starts servers and service.
pub async fn start(args: &Args, extra: &[&str]) -> Result<Running> {
    let tools = Tools::locate()?;
    args.check()?;
    given(extra).given_secrets().check()?;
    ensure_free(args.http_listen, "the HTTP API", "WAYBILL_HTTP_LISTEN")?;
    let nats = NatsOptions {
        listen: args.nats_listen,
        mqtt_listen: args.mqtt_listen,
        monitor_listen: SocketAddr::from(([127, 0, 0, 1], free_port()?)),
        passwords: Passwords::default(),
        ..NatsOptions::default()
    };
    let mut stack = Stack::start(&tools, &args.data_dir, nats).await?;
    let serve = serve_args(args, &stack, extra);
    // The starting parts wait for a server that dies meanwhile, so it must be restarted here.
    let serving = tokio::select! {
        started = serve::start(&serve) => started?,
        never = keep_running(&mut stack) => match never {},
    };
    write_places(&args.data_dir, &stack, &serving.origin)?;
    // Otherwise the first reads would find no tables. If the tables can't be created, the reads and the log say why.
    tokio::time::timeout(TABLES_TIMEOUT, serving.projections.started()).await.ok();
    Ok(Running { stack, serving })
}

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(args: &Args) -> Result<()> {
    let mut running = start(args, &[]).await?;
    let nats = &running.stack.nats;
    out::tell("Waybill is up, in development mode (passwords as in nats.conf).");
    out::tell(format_args!("  API   {}/api/docs", running.serving.origin));
    out::tell(console_line(&running.serving.origin));
    let let_in = if args.anonymous_devices {
        "also devices without credentials, as any device"
    } else {
        "devices log in with credentials; waybill simulate --register gets them"
    };
    out::tell(format_args!("  MQTT  {}   ({let_in})", nats.mqtt_listen()));
    out::tell(format_args!("  NATS  {}   (analyst/analyst reads FEED)", nats.listen()));
    out::tell(format_args!("  data  {}", args.data_dir.display()));
    out::tell("Ctrl-C stops it; the next start continues with the same data.");
    tokio::select! {
        stopped = serve::stop_signal() => stopped?,
        never = keep_running(&mut running.stack) => match never {},
    }
    out::tell("Stopping.");
    running.stop().await;
    Ok(())
}

/// Where the console is, as a line among the other addresses.
pub fn console_line(origin: &str) -> String {
    format!("  console  {origin}/console/   (sign in as anybody)")
}

/// Restarts servers that have ended, without end.
async fn keep_running(stack: &mut Stack) -> Infallible {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        if let Err(error) = stack.mend().await {
            tracing::error!(error = format!("{error:#}"), "A server can't be restarted; the next attempt follows.");
        }
    }
}

//! `waybill up`: servers and service in the foreground, for development.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use crate::config::ServeArgs;
use crate::serve::{self, Serving};
use crate::stack::{NatsOptions, Passwords, Stack, Tools, ensure_free, free_port};

/// In the data directory: where this stack's PostgreSQL is, for `waybill replay` and `waybill rebuild`.
pub const DATABASE_URL_FILE: &str = "database-url";

/// Where everything listens and keeps its data.
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
    /// Where all data is kept
    #[arg(long, default_value = ".waybill", env = "WAYBILL_DATA_DIR")]
    pub data_dir: PathBuf,
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
    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        serve: ServeArgs,
    }
    // Flags and environment still work for everything that isn't settled here.
    let mut serve = Only::parse_from([&["waybill"], extra].concat()).serve;
    serve.http_listen = args.http_listen;
    serve.nats_url = stack.nats.waybill_url();
    serve.nats_devices_url = stack.nats.devices_url();
    serve.mqtt_url = stack.nats.mqtt_url();
    serve.database_url = stack.postgres.url();
    serve.data_dir.clone_from(&args.data_dir);
    serve.development = true;
    serve
}

/// Starts servers and service.
pub async fn start(args: &Args, extra: &[&str]) -> Result<Running> {
    let tools = Tools::locate()?;
    ensure_free(args.http_listen, "the HTTP API", "WAYBILL_HTTP_LISTEN")?;
    let nats = NatsOptions {
        listen: args.nats_listen,
        mqtt_listen: args.mqtt_listen,
        monitor_listen: SocketAddr::from(([127, 0, 0, 1], free_port()?)),
        passwords: Passwords::default(),
        ..NatsOptions::default()
    };
    let stack = Stack::start(&tools, &args.data_dir, nats).await?;
    std::fs::write(args.data_dir.join(DATABASE_URL_FILE), stack.postgres.url())?;
    let serving = serve::start(&serve_args(args, &stack, extra)).await?;
    Ok(Running { stack, serving })
}

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(args: &Args) -> Result<()> {
    let running = start(args, &[]).await?;
    let nats = &running.stack.nats;
    println!("Waybill is up, in development mode (no TLS, passwords as in nats.conf).");
    println!("  API   http://{}/api/docs", running.serving.http);
    println!("  MQTT  {}", nats.mqtt_listen());
    println!("  NATS  {}   (analyst/analyst reads FEED)", nats.listen());
    println!("  data  {}", args.data_dir.display());
    println!("Ctrl-C stops it; the next start carries on.");
    serve::stop_signal().await?;
    println!("Stopping.");
    running.stop().await;
    Ok(())
}

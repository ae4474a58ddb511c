//! `waybill`: firmware for fleets, with proof.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use waybill::config::{LogFormat, ServeArgs};
use waybill::{asyncapi, demo, logs, openapi, projections, rebuild, replay, serve, simulate, up};

#[derive(Parser)]
#[command(name = "waybill", version, about = "Delivers firmware to fleets of IoT devices and keeps the proof")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service against servers that are there
    Serve(Box<ServeArgs>),
    /// Run everything in the foreground for development, servers included
    Up(up::Args),
    /// Show a staged campaign over a simulated fleet, from upload to proof
    Demo(demo::Args),
    /// Run a fleet of MQTT devices
    Simulate(Box<simulate::Args>),
    /// Print history from the log
    Replay {
        #[command(flatten)]
        connection: replay::Connection,
        #[command(flatten)]
        args: replay::Args,
    },
    /// Build a read model anew from the log while the service runs
    Rebuild(rebuild::Args),
    /// Look after read models
    #[command(subcommand)]
    Projections(projections::Command),
    /// Print the OpenAPI description of the API
    Openapi,
    /// Print the AsyncAPI description of the device protocol and of FEED
    Asyncapi,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new().context("the async runtime can't be started");
    match runtime.and_then(|runtime| runtime.block_on(run(cli.command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waybill: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match &command {
        Command::Serve(args) => logs::install(args.log_format, None),
        Command::Demo(_) => logs::install(LogFormat::Text, Some("warn")),
        Command::Replay { .. }
        | Command::Rebuild(_)
        | Command::Projections(_)
        | Command::Openapi
        | Command::Asyncapi => logs::install(LogFormat::Text, Some("warn")),
        Command::Up(_) | Command::Simulate(_) => logs::install(LogFormat::Text, None),
    }
    match command {
        Command::Serve(args) => serve::run(&args).await,
        Command::Up(args) => up::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Simulate(args) => simulate::run(*args).await,
        Command::Replay { connection, args } => replay::run(&connection, &args).await,
        Command::Rebuild(args) => rebuild::run(&args).await,
        Command::Projections(command) => projections::run(&command).await,
        Command::Openapi => openapi::run(),
        Command::Asyncapi => asyncapi::run(),
    }
}

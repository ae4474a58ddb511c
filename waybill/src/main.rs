//! `waybill`: delivers firmware to fleets of devices, with proof.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use operator_cli::Operators;
use waybill::config::ServeArgs;
use waybill::connection::Connection;
use waybill::logs::LogArgs;
use waybill::traces::TraceArgs;
use waybill::{
    asyncapi, demo, firmware, logs, openapi, out, postman, projections, rebuild, replay, secret_store, serve, simulate,
    up,
};

#[derive(Parser)]
#[command(name = "waybill", version, about = "Delivers firmware to fleets of IoT devices and records proof of it")]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service against existing servers
    Serve {
        #[command(flatten)]
        args: Box<ServeArgs>,
        #[command(flatten)]
        traces: TraceArgs,
    },
    /// Run everything in the foreground for development, servers included
    Up {
        #[command(flatten)]
        args: up::Args,
        #[command(flatten)]
        traces: TraceArgs,
    },
    /// Run a staged campaign over a simulated fleet, from upload to proof
    Demo(demo::Args),
    /// Run a fleet of simulated MQTT devices
    Simulate(Box<simulate::Args>),
    /// Print events from the log
    Replay {
        #[command(flatten)]
        connection: Connection,
        #[command(flatten)]
        args: replay::Args,
    },
    /// Rebuild a read model from the log while the service runs
    Rebuild(rebuild::Args),
    /// Manage read models
    #[command(subcommand)]
    Projections(projections::Command),
    /// Manage the sealed secrets of tenants; needs only nats-server and the master keys
    Secrets(secret_store::Args),
    /// Sign firmware on a build server, or copy all firmware to another store; needs no running Waybill
    #[command(subcommand)]
    Firmware(firmware::Command),
    /// Print the OpenAPI description of the API
    Openapi,
    /// Print the AsyncAPI description of the device protocol and of FEED
    Asyncapi,
    /// Print a Postman collection of the API
    Postman,
}

fn main() -> ExitCode {
    let operators = Operators::default();
    let command = operators.mount(Cli::command());
    let matches = command.clone().get_matches();
    let runtime = tokio::runtime::Runtime::new().context("the async runtime can't be started");
    if operators.has(&matches) {
        return match runtime {
            Ok(runtime) => runtime.block_on(operators.run(&matches, command)).code().into(),
            Err(error) => failed(&error),
        };
    }
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match runtime.and_then(|runtime| runtime.block_on(run(cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<out::Closed>() => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    out::note(format_args!("waybill: {error:#}"));
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> Result<()> {
    let traces = match &cli.command {
        Command::Serve { traces, .. } | Command::Up { traces, .. } => traces.traces()?,
        _ => None,
    };
    let level = match &cli.command {
        Command::Serve { .. } | Command::Up { .. } | Command::Simulate(_) => logs::SERVING,
        _ => logs::PRINTING,
    };
    logs::install(&cli.log, level, traces.as_ref());
    let outcome = run_command(cli.command).await;
    if let Some(traces) = traces {
        traces.end();
    }
    outcome
}

async fn run_command(command: Command) -> Result<()> {
    match command {
        Command::Serve { args, .. } => serve::run(&args).await,
        Command::Up { args, .. } => up::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Simulate(args) => simulate::run(*args).await,
        Command::Replay { connection, args } => replay::run(&connection, &args).await,
        Command::Rebuild(args) => rebuild::run(&args).await,
        Command::Projections(command) => projections::run(&command).await,
        Command::Secrets(args) => secret_store::run(&args).await,
        Command::Firmware(command) => firmware::run(&command).await,
        Command::Openapi => openapi::run(),
        Command::Asyncapi => asyncapi::run(),
        Command::Postman => postman::run(),
    }
}

//! Measurements, each beside a ceiling taken in the same run. Compare ratios, because the machine is noisy.
//!
//! `make bench`, or `cargo run --release -p bench -- project` for one scenario. Each scenario is one file.

mod authentication;
mod baseline;
mod campaign;
mod ceilings;
mod console_pages;
mod cpu;
mod devices;
mod downloads;
mod executor;
mod fleet;
mod levels;
mod live;
mod load;
mod mqtt;
mod mqtt_campaign;
mod mqtt_devices;
mod network;
mod play;
mod point_reads;
mod project;
mod queries;
mod release;
mod report;
mod service;
mod tables;
mod webhooks;
mod world;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use waybill::logs::LogArgs;
use waybill::stack::Tools;

use baseline::Baseline;
use report::Report;

/// Runs in which a ratio must be worse than the baseline to count.
const RUNS_MAX: usize = 3;

/// Devices with a connection each.
const MQTT_DEVICES: usize = 2_000;

/// Warnings about slow statements are off: slow statements are expected here.
const LOG_LEVEL: &str = "warn,sqlx=error";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    All,
    /// Commands through the executor against raw publishes with the same expectation and payload
    Executor,
    /// Commands through the API with each kind of credential: what it costs to find out who has sent them
    Authentication,
    /// MQTT reports: into the log at the highest rate, and on into the API at half of it
    Load,
    /// Events of a fleet and its campaigns into all read models: catching up, live, rebuild
    Project,
    /// Whole campaigns with instant devices: updates per second and CPU time of each
    Campaign,
    /// A campaign over MQTT with a connection for each device
    MqttCampaign,
    /// A thousand clients of live messages: how soon they hear of an event, and what they cost the writers
    Live,
    /// Copies of LoRaWAN devices in a network server: a fleet that is connected, then one device after the other
    Network,
    /// Downloads from a directory and from a bucket, beside nginx
    Downloads,
    /// Uplinks by webhook: into the read model at the highest rate, and on into the API at half of it
    Webhooks,
    /// The API over a large fleet: bulk registration, lists, single devices
    Queries,
}

#[derive(Parser)]
#[command(about = "Measures Waybill against ceilings taken in the same run")]
struct Args {
    #[arg(value_enum, default_value = "all")]
    scenario: Scenario,
    /// Small sizes that say little about rates and enough about ratios
    #[arg(long)]
    quick: bool,
    /// Commands or messages per measurement of the executor and of MQTT [default: 20000, quick: 2000]
    #[arg(long)]
    count: Option<usize>,
    /// Devices of the fleet [default: 100000, campaigns 10000 and 100000, over MQTT 2000, live 5000; quick: 2000, campaigns and live 500]
    #[arg(long)]
    devices: Option<usize>,
    /// Where the results are written to as JSON
    #[arg(long, default_value = "target/bench.json", value_name = "FILE")]
    json: PathBuf,
    /// Fail when a ratio is below half of that in this file
    #[arg(long, value_name = "FILE", requires = "quick")]
    baseline: Option<PathBuf>,
    /// Write the ratios of this run to this file
    #[arg(long, value_name = "FILE", requires = "quick")]
    write_baseline: Option<PathBuf>,
}

impl Args {
    fn runs(&self, scenario: Scenario) -> bool {
        self.scenario == Scenario::All || self.scenario == scenario
    }

    fn count(&self) -> usize {
        self.count.unwrap_or(if self.quick { 2_000 } else { 20_000 })
    }

    /// Number of requests or reports that are timed.
    fn samples(&self) -> usize {
        if self.quick { 50 } else { 300 }
    }

    fn devices(&self) -> usize {
        self.devices.unwrap_or(if self.quick { 2_000 } else { 100_000 })
    }

    /// Devices that are updated while there are clients, and without them.
    fn updated_live(&self) -> usize {
        self.devices.unwrap_or(if self.quick { 500 } else { 5_000 })
    }

    /// LoRaWAN devices that get a copy.
    fn synced(&self) -> usize {
        self.devices.unwrap_or(if self.quick { 1_000 } else { 10_000 })
    }

    /// Sizes of campaigns. Several sizes show how the time per device grows.
    fn campaigns(&self) -> Vec<usize> {
        match self.devices {
            Some(devices) => vec![devices],
            None if self.quick => vec![500],
            None => vec![10_000, 100_000],
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(serve) = service::serve_args() {
        waybill::logs::install(&LogArgs::default(), waybill::logs::SERVING, None);
        return waybill::serve::run(&serve).await;
    }
    let args = Args::parse();
    let logs = LogArgs { log_level: Some(LOG_LEVEL.parse().map_err(anyhow::Error::msg)?), ..LogArgs::default() };
    waybill::logs::install(&logs, waybill::logs::PRINTING, None);
    let report = measure_and_print(&args).await?;
    if let Some(file) = &args.write_baseline {
        Baseline::of(&report).write(file)?;
    }
    match &args.baseline {
        Some(file) => compare(&args, Baseline::read(file)?, Baseline::of(&report)).await,
        None => Ok(()),
    }
}

async fn measure_and_print(args: &Args) -> Result<Report> {
    let mut report = Report::default();
    let measured = measure(args, &mut report).await;
    // Keeps what was measured before a failure.
    report.write_json(&args.json)?;
    report.print_growth();
    levels::print(&report);
    measured.map(|()| report)
}

/// Something else may have disturbed a run, so scenarios that are worse than the baseline are measured again.
async fn compare(args: &Args, baseline: Baseline, mut measured: Baseline) -> Result<()> {
    for _ in 1..RUNS_MAX {
        let faults = baseline.faults(&measured);
        if faults.is_empty() {
            break;
        }
        println!("\nWorse than the baseline, so all of it is measured again:\n  {}\n", faults.join("\n  "));
        measured = Baseline::of(&measure_and_print(args).await?).best_of(&measured);
    }
    let faults = baseline.faults(&measured);
    ensure!(faults.is_empty(), "worse than the baseline in each of {RUNS_MAX} runs:\n  {}", faults.join("\n  "));
    println!("\nNo ratio is below half of the baseline's.");
    Ok(())
}

async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let tools = Tools::locate()?;
    if args.runs(Scenario::Executor) {
        executor::run(&tools, args.count(), report).await?;
    }
    if args.runs(Scenario::Authentication) {
        authentication::run(&tools, args.count(), report).await?;
    }
    if args.runs(Scenario::Load) {
        load::run(&tools, args.count(), args.samples(), report).await?;
    }
    if args.runs(Scenario::Project) {
        project::run(&tools, args.devices(), report).await?;
    }
    if args.runs(Scenario::Campaign) {
        for devices in args.campaigns() {
            campaign::run(&tools, devices, report).await?;
        }
    }
    // Its ratio says nothing that the campaign's doesn't.
    if args.runs(Scenario::MqttCampaign) && !args.quick {
        mqtt_campaign::run(&tools, args.devices.unwrap_or(MQTT_DEVICES), report).await?;
    }
    if args.runs(Scenario::Live) {
        live::run(&tools, args.updated_live(), report).await?;
    }
    if args.runs(Scenario::Network) {
        network::run(&tools, args.synced(), report).await?;
    }
    if args.runs(Scenario::Downloads) {
        downloads::run(&tools, args.quick, report).await?;
    }
    // Too long for a quick run of everything: its samples wait for the read model.
    if args.runs(Scenario::Webhooks) && (!args.quick || args.scenario == Scenario::Webhooks) {
        webhooks::run(&tools, args.count(), args.samples(), report).await?;
    }
    if args.runs(Scenario::Queries) {
        queries::run(&tools, args.devices(), args.samples(), report).await?;
    }
    Ok(())
}

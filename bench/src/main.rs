//! Measurements, each beside a ceiling taken in the same run: read the ratio, the machine is noisy.
//!
//! `make bench`, or `cargo run --release -p bench -- project` for one scenario. Each scenario is one file.

mod campaign;
mod ceilings;
mod cpu;
mod devices;
mod executor;
mod fleet;
mod pipeline;
mod play;
mod project;
mod release;
mod report;
mod tables;
mod world;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use waybill::logs::LogArgs;
use waybill::stack::Tools;

use report::Report;

/// Slow statements are what is measured: they are no news.
const LOG_LEVEL: &str = "warn,sqlx=error";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    All,
    /// Commands through the executor against raw publishes with the same expectation and payload
    Executor,
    /// MQTT reports into the log, latency from report to REST
    Pipeline,
    /// Events of a fleet and its campaigns into all read models: catching up, live, rebuild
    Project,
    /// Whole campaigns with instant devices: updates per second and CPU time of each
    Campaign,
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
    /// Devices of the fleet [default: 100000, campaigns 10000 and 100000; quick: 2000, campaigns 500]
    #[arg(long)]
    devices: Option<usize>,
    /// Where the results are written to as JSON
    #[arg(long, default_value = "target/bench.json", value_name = "FILE")]
    json: PathBuf,
}

impl Args {
    fn runs(&self, scenario: Scenario) -> bool {
        self.scenario == Scenario::All || self.scenario == scenario
    }

    fn count(&self) -> usize {
        self.count.unwrap_or(if self.quick { 2_000 } else { 20_000 })
    }

    fn devices(&self) -> usize {
        self.devices.unwrap_or(if self.quick { 2_000 } else { 100_000 })
    }

    /// Sizes of campaigns: several show how the time per device grows.
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
    let args = Args::parse();
    let logs = LogArgs { log_level: Some(LOG_LEVEL.parse().map_err(anyhow::Error::msg)?), ..LogArgs::default() };
    waybill::logs::install(&logs, waybill::logs::PRINTING, None);
    let mut report = Report::default();
    let measured = measure(&args, &mut report).await;
    // What was measured before a failure is kept.
    report.write_json(&args.json)?;
    measured
}

async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let tools = Tools::locate()?;
    if args.runs(Scenario::Executor) {
        executor::run(&tools, args.count(), report).await?;
    }
    if args.runs(Scenario::Pipeline) {
        pipeline::run(&tools, args.count()).await?;
    }
    if args.runs(Scenario::Project) {
        project::run(&tools, args.devices(), report).await?;
    }
    if args.runs(Scenario::Campaign) {
        for devices in args.campaigns() {
            campaign::run(&tools, devices, report).await?;
        }
    }
    Ok(())
}

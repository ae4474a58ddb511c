//! Measurements, each beside a ceiling taken in the same run: read the ratio, the machine is noisy.
//!
//! `make bench`, or `cargo run --release -p bench -- executor` for one scenario.

mod executor;
mod pipeline;
mod report;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use waybill::logs::LogArgs;
use waybill::stack::Tools;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    All,
    /// Commands through the executor against raw publishes with the same expectation and payload
    Executor,
    /// Events into read models, MQTT reports end to end, latency from report to REST
    Pipeline,
}

#[derive(Parser)]
#[command(about = "Measures Waybill against ceilings taken in the same run")]
struct Args {
    #[arg(value_enum, default_value = "all")]
    scenario: Scenario,
    /// Commands or messages per measurement
    #[arg(long, default_value_t = 20_000)]
    count: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    waybill::logs::install(&LogArgs::default(), waybill::logs::PRINTING, None);
    let tools = Tools::locate()?;
    if matches!(args.scenario, Scenario::All | Scenario::Executor) {
        executor::run(&tools, args.count).await?;
    }
    if matches!(args.scenario, Scenario::All | Scenario::Pipeline) {
        pipeline::run(&tools, args.count).await?;
    }
    Ok(())
}

//! `waybill rebuild`: a read model anew from the log, while the service runs.

use anyhow::Result;

use crate::replay::Connection;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of the read model: devices, device_firmware_history, firmware, updates, campaigns, rollout, archive
    pub name: String,
    #[command(flatten)]
    pub connection: Connection,
}

/// Rebuilds and switches; tells how far it is.
pub async fn run(args: &Args) -> Result<()> {
    let log = args.connection.log().await?;
    let db = args.connection.db()?;
    let started = std::time::Instant::now();
    let position = projections::rebuild(&db, log, &args.name, |position, head| {
        let seconds = started.elapsed().as_secs_f64();
        let left = seconds * (head.saturating_sub(position) as f64) / (position.max(1) as f64);
        eprintln!("{position} of {head} positions, about {left:.0} s left");
    })
    .await?;
    println!("{} stands for position {position}, rebuilt in {:.1} s", args.name, started.elapsed().as_secs_f64());
    Ok(())
}

//! `waybill projections unpark`: lets parked aggregates back into a read model, in order.

use anyhow::{Result, ensure};

use crate::out;
use crate::replay::Connection;

#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Apply the parked records of a read model again, after the cause is mended
    Unpark {
        /// Name of the read model, as in /health/detailed
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Runs the command; fails while something stays parked.
pub async fn run(command: &Command) -> Result<()> {
    let Command::Unpark { name, connection } = command;
    let outcome = ::projections::unpark(&connection.db()?, connection.log().await?, name).await?;
    for aggregate in &outcome.released {
        out::tell(format_args!("{aggregate} is back"));
    }
    for (aggregate, error) in &outcome.still_parked {
        out::tell(format_args!("{aggregate} stays parked: {error}"));
    }
    ensure!(outcome.still_parked.is_empty(), "{} aggregates stay parked", outcome.still_parked.len());
    Ok(())
}

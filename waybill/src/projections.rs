//! `waybill projections unpark`: applies the records of parked aggregates to a read model, in order.

use anyhow::{Result, ensure};

use crate::connection::Connection;
use crate::out;

#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Apply the parked records of a read model again, after the cause is fixed
    Unpark {
        /// Name of the read model, as in /health/detailed
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Runs the command; fails if an aggregate stays parked.
pub async fn run(command: &Command) -> Result<()> {
    let Command::Unpark { name, connection } = command;
    let outcome = ::projections::unpark(&connection.db()?, connection.log().await?, name).await?;
    for aggregate in &outcome.released {
        out::tell(format_args!("{aggregate} is restored"));
    }
    for (aggregate, error) in &outcome.still_parked {
        out::tell(format_args!("{aggregate} stays parked: {error}"));
    }
    ensure!(outcome.still_parked.is_empty(), "{} aggregates stay parked", outcome.still_parked.len());
    Ok(())
}

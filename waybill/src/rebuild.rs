//! `waybill rebuild`: rebuilds a read model from the log while the service runs.

use anyhow::{Result, ensure};

use crate::connection::Connection;
use crate::eta::Eta;
use crate::out;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of the read model: fleet or archive
    pub name: String,
    /// Rebuild from another log than the one that the read model was built from
    #[arg(long)]
    pub new_log: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// Rebuilds and replaces the read model, and shows the progress.
pub async fn run(args: &Args) -> Result<()> {
    ensure!(
        args.name != projections::PRESENCE,
        "presence isn't built from events and can't be rebuilt: it follows TELEMETRY"
    );
    let log = args.connection.log().await?;
    let db = args.connection.db()?;
    let (known, found) = (db.incarnation(&args.name).await?, log.info().await?.incarnation_ms);
    if let Some(known) = known.filter(|known| *known != found) {
        ensure!(
            args.new_log,
            "read model {} stands for a log created at {known} ms, this one was created at {found} ms: \
             point to the right servers, or say --new-log when the log was created again",
            args.name
        );
    }
    let started = std::time::Instant::now();
    let mut eta = Eta::default();
    let position = projections::rebuild(&db, log, &args.name, |position, head| {
        if let Some(progress) = eta.look(started.elapsed(), position, head) {
            out::note(progress);
        }
    })
    .await?;
    let took_s = started.elapsed().as_secs_f64();
    out::tell(format_args!("{} is at position {position}, rebuilt in {took_s:.1} s", args.name));
    Ok(())
}

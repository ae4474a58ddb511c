//! `waybill firmware copy-store`: copies all firmware from one store to another, while the service reads both.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use firmware_store::{Copied, copy};
use runtime::lifecycle::Tasks;

use crate::{out, store_args};

/// How long the end of a broken upload may take.
pub(crate) const END_MAX: Duration = Duration::from_secs(30);

/// Two stores, as `waybill serve` takes them.
#[derive(Debug, Args)]
pub struct CopyStoreArgs {
    /// Where the bytes are, such as file:///var/lib/waybill/firmware
    #[arg(long)]
    pub from: String,
    /// Where they shall be, such as s3://bucket/prefix?settings=FILE
    #[arg(long)]
    pub to: String,
    /// CA whose certificates buckets have [default: those that the system trusts]
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE_CA")]
    pub firmware_store_ca: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Tally {
    copied: u64,
    bytes: u64,
    there: u64,
    gone: u64,
    differ: u64,
}

/// Runs the command: it fails if any object was not copied.
pub(crate) async fn run(args: &CopyStoreArgs) -> Result<()> {
    let tasks = Tasks::new();
    let ca = args.firmware_store_ca.as_deref();
    let from = store_args::open_one(&args.from, ca, &tasks).context("--from")?;
    let to = store_args::open_one(&args.to, ca, &tasks).context("--to")?;
    to.try_it().await.context("--to")?;
    let mut tally = Tally::default();
    let outcome = copy(&from, &to, |copied| tell(&mut tally, copied)).await;
    tasks.shutdown(END_MAX).await;
    let Tally { copied, bytes, there, gone, differ } = tally;
    out::tell(format_args!(
        "{copied} objects copied ({bytes} bytes), {there} were there, {gone} were deleted meanwhile, {differ} are not what was uploaded"
    ));
    outcome?;
    ensure!(differ == 0, "{differ} objects are not what was uploaded and were not copied");
    Ok(())
}

fn tell(tally: &mut Tally, copied: Copied) {
    match copied {
        Copied::Copied { object, bytes } => {
            tally.copied += 1;
            tally.bytes += bytes;
            out::tell(format_args!("copied   {object}   {bytes} bytes"));
        }
        Copied::WasThere { .. } => tally.there += 1,
        Copied::Gone { .. } => tally.gone += 1,
        Copied::Differs { object } => {
            tally.differ += 1;
            out::note(format_args!("differs  {object}   its bytes haven't its SHA-256: it was not copied"));
        }
    }
}

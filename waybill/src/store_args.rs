//! Settings of the firmware store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use command_api::{FIRMWARE_MAX_BYTES, UPLOAD_ABANDONED_AFTER};
use event_store::SecretStore;
use firmware_store::{FirmwareStore, Opening, Place, Store};
use runtime::lifecycle::Tasks;

use crate::firmware_keys::FirmwareKeys;
use crate::tls::{trusting, trusting_nobody};

/// Where the bytes of firmware are, and how they go in and out.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    /// Where the bytes of firmware are: file:///directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. Credentials are in
    /// the environment (AWS_…, GOOGLE_…, AZURE_…), or in a file with the same names: s3://bucket?settings=FILE [default: {data-dir}/firmware]
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE")]
    pub firmware_store: Option<String>,
    /// Where they were before: read until everything is copied (`waybill firmware copy-store`)
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE_OLD")]
    pub firmware_store_old: Option<String>,
    /// CA whose certificates buckets have [default: those that the system trusts]
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE_CA")]
    pub firmware_store_ca: Option<PathBuf>,
    /// Send downloads on to the bucket (302 to a presigned URL) in place of passing the bytes through
    #[arg(long, env = "WAYBILL_FIRMWARE_REDIRECT")]
    pub firmware_redirect: bool,
    /// Seal new firmware in its store, each tenant's under keys of its own. What is sealed is read in any case, and is never sent on to the bucket
    #[arg(long, env = "WAYBILL_FIRMWARE_SEAL")]
    pub firmware_seal: bool,
    /// Largest firmware, in bytes
    #[arg(long, default_value_t = FIRMWARE_MAX_BYTES, env = "WAYBILL_FIRMWARE_MAX_BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub firmware_max_bytes: u64,
    /// An unfinished upload that hasn't grown for this long is removed, in seconds
    #[arg(long, default_value_t = UPLOAD_ABANDONED_AFTER.as_secs(), env = "WAYBILL_UPLOAD_ABANDONED_SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub upload_abandoned_seconds: u64,
}

impl StoreArgs {
    pub(crate) fn abandoned_after(&self) -> Duration {
        Duration::from_secs(self.upload_abandoned_seconds)
    }

    /// The store with the keys under which firmware is sealed in it.
    pub(crate) fn sealed(&self, store: FirmwareStore, secrets: &SecretStore) -> FirmwareStore {
        store.sealed(Arc::new(FirmwareKeys::new(secrets.clone())), self.firmware_seal)
    }

    /// Opens the stores. It asks no server.
    pub(crate) fn open(&self, data_dir: &Path, tasks: &Tasks) -> Result<FirmwareStore> {
        let default = data_dir.join("firmware");
        std::fs::create_dir_all(data_dir).with_context(|| format!("{} can't be made", data_dir.display()))?;
        let place = match &self.firmware_store {
            Some(url) => place(url).context("WAYBILL_FIRMWARE_STORE")?,
            None => Place::directory(&std::path::absolute(&default)?)?,
        };
        let old = self.firmware_store_old.as_deref().map(place_of_old).transpose()?;
        ensure!(old.as_ref() != Some(&place), "WAYBILL_FIRMWARE_STORE and WAYBILL_FIRMWARE_STORE_OLD are the same");
        let opening = opening(self.firmware_store_ca.as_deref(), tasks, self.abandoned_after())?;
        let store = opening.open(&place).context("WAYBILL_FIRMWARE_STORE")?;
        let old = old.map(|old| opening.open(&old)).transpose().context("WAYBILL_FIRMWARE_STORE_OLD")?;
        Ok(FirmwareStore::new(store, old))
    }
}

fn place(url: &str) -> Result<Place> {
    Ok(url.parse::<Place>()?)
}

fn place_of_old(url: &str) -> Result<Place> {
    place(url).context("WAYBILL_FIRMWARE_STORE_OLD")
}

/// Opens one store, for a command.
pub(crate) fn open_one(url: &str, ca: Option<&Path>, tasks: &Tasks) -> Result<Store> {
    Ok(opening(ca, tasks, UPLOAD_ABANDONED_AFTER)?.open(&place(url)?)?)
}

fn opening(ca: Option<&Path>, tasks: &Tasks, abandoned_after: Duration) -> Result<Opening> {
    let tls = match trusting(ca) {
        Ok(tls) => tls,
        // Without certificates on the system there are still directories and HTTP.
        Err(error) if ca.is_none() => {
            tracing::debug!(error = format!("{error:#}"), "No bucket can be reached by HTTPS.");
            trusting_nobody()?
        }
        Err(error) => return Err(error.context("WAYBILL_FIRMWARE_STORE_CA")),
    };
    Ok(Opening { tls, tasks: tasks.clone(), abandoned_after })
}

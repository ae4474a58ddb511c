//! `waybill firmware seal`: seals all stored firmware of a tenant under its newest key, while the service runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use clap::Args;
use domain::TenantId;
use firmware_store::{Place, Resealed, Store, TenantKeys, is_all_under, reseal};
use runtime::lifecycle::Tasks;

use crate::copy_store::END_MAX;
use crate::firmware_keys::FirmwareKeys;
use crate::{out, secret_store, store_args};

/// How old the newest key must be before older ones are forgotten, in seconds. No upload takes so long.
const KEY_AGE_SECONDS: u32 = 24 * 3_600;

/// A tenant, its stores, and where the keys are.
#[derive(Debug, Args)]
pub struct SealArgs {
    /// Tenant
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// The store, as `waybill serve` takes it [default: {data-dir}/firmware]
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE")]
    pub firmware_store: Option<String>,
    /// The store that is still read while firmware moves, as `waybill serve` takes it
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE_OLD")]
    pub firmware_store_old: Option<String>,
    /// CA whose certificates buckets have [default: those that the system trusts]
    #[arg(long, env = "WAYBILL_FIRMWARE_STORE_CA")]
    pub firmware_store_ca: Option<PathBuf>,
    /// Make a new key first
    #[arg(long)]
    pub new_key: bool,
    /// Forget the older keys when everything is sealed under the newest: what is sealed under them, such as a backup of the store, is lost
    #[arg(long)]
    pub forget_older_keys: bool,
    /// How old the newest key must be for that, in seconds. An upload or another run of this command may still use an older key if it began before
    #[arg(long, default_value_t = KEY_AGE_SECONDS, requires = "forget_older_keys")]
    pub key_age_seconds: u32,
    #[command(flatten)]
    pub connection: secret_store::Connection,
}

#[derive(Debug, Default)]
struct Tally {
    sealed: u64,
    were: u64,
    gone: u64,
    left: u64,
}

impl SealArgs {
    fn stores(&self, tasks: &Tasks) -> Result<Vec<Store>> {
        let ca = self.firmware_store_ca.as_deref();
        let default = || -> Result<String> {
            let directory = std::path::absolute(self.connection.nats.data_dir.join("firmware"))?;
            Ok(Place::directory(&directory)?.to_string())
        };
        let url = self.firmware_store.clone().map_or_else(default, Ok)?;
        let mut stores = vec![store_args::open_one(&url, ca, tasks).context("--firmware-store")?];
        if let Some(old) = &self.firmware_store_old {
            stores.push(store_args::open_one(old, ca, tasks).context("--firmware-store-old")?);
        }
        Ok(stores)
    }
}

/// Runs the command. It can be interrupted and repeated.
pub(crate) async fn run(args: &SealArgs) -> Result<()> {
    TenantId::new(args.tenant.as_str()).context("--tenant")?;
    let (secrets, rights) = args.connection.store().await?;
    let keys = FirmwareKeys::new(secrets);
    if args.new_key {
        let key = rights.or_refused(keys.rotate(&args.tenant)).await?;
        out::tell(format_args!("new key {}", key.id));
    }
    if args.forget_older_keys {
        old_enough(args, &keys).await?;
    }
    let tasks = Tasks::new();
    let stores = args.stores(&tasks)?;
    let outcome = seal_all(args, &keys, &stores).await;
    tasks.shutdown(END_MAX).await;
    outcome?;
    if args.forget_older_keys {
        let forgotten = forget(args, &keys, &stores).await?;
        out::tell(format_args!("{forgotten} older keys forgotten"));
    }
    Ok(())
}

/// Fails if an upload may be under way that began before the newest key was made.
async fn old_enough(args: &SealArgs, keys: &FirmwareKeys) -> Result<()> {
    let age = keys.age_of_newest(&args.tenant).await?.map_or(TimeDelta::MAX, |(_, age)| age);
    let wanted = args.key_age_seconds;
    ensure!(
        age >= TimeDelta::seconds(wanted.into()),
        "the newest key is {} s old: the older ones can be forgotten when it is {wanted} s old (--key-age-seconds)",
        age.num_seconds().max(0)
    );
    Ok(())
}

async fn seal_all(args: &SealArgs, keys: &FirmwareKeys, stores: &[Store]) -> Result<()> {
    let mut tally = Tally::default();
    let mut outcome = Ok(());
    for store in stores {
        outcome = reseal(store, Arc::new(keys.clone()), &args.tenant, |object| tell(&mut tally, object)).await;
        if outcome.is_err() {
            break;
        }
    }
    let Tally { sealed, were, gone, left } = tally;
    out::tell(format_args!(
        "{sealed} objects sealed, {were} were sealed under the newest key, {gone} were deleted meanwhile, {left} can't be sealed"
    ));
    outcome?;
    ensure!(left == 0, "{left} objects can't be sealed and stay as they are");
    Ok(())
}

fn tell(tally: &mut Tally, object: Resealed) {
    match object {
        Resealed::Sealed { object } => {
            tally.sealed += 1;
            out::tell(format_args!("sealed   {object}"));
        }
        Resealed::Was => tally.were += 1,
        Resealed::Gone => tally.gone += 1,
        Resealed::Differs { object } => {
            tally.left += 1;
            out::note(format_args!("differs  {object}   its bytes are not those that were uploaded"));
        }
        Resealed::NoKey { object } => {
            tally.left += 1;
            out::note(format_args!("no key   {object}   its key was forgotten"));
        }
    }
}

async fn forget(args: &SealArgs, keys: &FirmwareKeys, stores: &[Store]) -> Result<usize> {
    let Some((newest, _)) = keys.age_of_newest(&args.tenant).await? else { return Ok(0) };
    for store in stores {
        let shared: Arc<dyn TenantKeys> = Arc::new(keys.clone());
        ensure!(
            is_all_under(store, shared, &args.tenant, newest).await?,
            "an upload or a deletion under an older key is under way in {store}: try again"
        );
    }
    Ok(keys.forget_older(&args.tenant, newest).await?)
}

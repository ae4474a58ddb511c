//! `waybill replay`: history from the log (or from the archive), to a position or a time.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use domain::campaign::Campaign;
use domain::device::Device;
use domain::firmware::Firmware;
use domain::ledger::Ledger;
use domain::{AggregateKey, Decider, TenantId};
use event_store::lifecycle::Tasks;
use event_store::{At, Delivery, EventStore, JetStreamLog, Log, Record};
use futures::StreamExt;
use projections::Db;
use serde_json::{Value, json};

use crate::serve;
use crate::up::DATABASE_URL_FILE;

/// What to replay and how far.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One aggregate: `device/ID`, `firmware/ID`, `campaign/ID`, `rollout_ledger/ID`, `campaign_plan/ID`
    #[arg(long, value_name = "TYPE/ID", conflicts_with = "campaign")]
    pub aggregate: Option<String>,
    /// Everything that belongs to one campaign: its own events, its plan, its grants, its devices' updates
    #[arg(long, value_name = "ID")]
    pub campaign: Option<uuid::Uuid>,
    /// Tenant
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Up to this time, by the log's own clock (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "at_position")]
    pub at: Option<DateTime<Utc>>,
    /// Up to and including this position
    #[arg(long, value_name = "POSITION")]
    pub at_position: Option<u64>,
    /// Read the archive in PostgreSQL instead of the log
    #[arg(long)]
    pub from_archive: bool,
    /// Print the state that the events lead to, too (for one aggregate)
    #[arg(long)]
    pub state: bool,
}

/// Where the log and the archive are.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// nats-server, account WAYBILL
    #[arg(
        long,
        default_value = "nats://waybill:waybill@127.0.0.1:4222",
        env = "WAYBILL_NATS_URL",
        hide_env_values = true
    )]
    pub nats_url: String,
    /// PostgreSQL, for the archive [default: the one of `waybill up`]
    #[arg(long, env = "WAYBILL_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where `waybill up` keeps its data, and with it where its PostgreSQL is
    #[arg(long, default_value = ".waybill", env = "WAYBILL_DATA_DIR")]
    pub data_dir: PathBuf,
}

impl Connection {
    pub async fn log(&self) -> Result<Arc<dyn Log>> {
        let client = serve::connect(&self.nats_url, "waybill-tool").await?;
        Ok(Arc::new(JetStreamLog::connect(client, &Tasks::new()).await?))
    }

    pub fn db(&self) -> Result<Db> {
        let url = match &self.database_url {
            Some(url) => url.clone(),
            None => std::fs::read_to_string(self.data_dir.join(DATABASE_URL_FILE))
                .context("say where PostgreSQL is: --database-url or WAYBILL_DATABASE_URL")?,
        };
        Ok(Db::connect(&url)?)
    }
}

impl Args {
    fn until(&self) -> Option<At> {
        self.at.map(At::Time).or(self.at_position.map(At::Position))
    }

    fn admits(&self, position: u64, stored_at: DateTime<Utc>) -> bool {
        match self.until() {
            None => true,
            Some(At::Position(last)) => position <= last,
            Some(At::Time(last)) => stored_at <= last,
        }
    }

    fn key(&self) -> Result<Option<AggregateKey>> {
        let Some(text) = &self.aggregate else { return Ok(None) };
        let (kind, id) = text.split_once('/').context("--aggregate takes TYPE/ID, such as device/d-1")?;
        Ok(Some(AggregateKey { tenant: TenantId::new(&*self.tenant)?, kind: kind.to_owned(), id: id.to_owned() }))
    }
}

/// One line of a replay: an event with where it stands and who caused it.
pub fn line(position: u64, stored_at: DateTime<Utc>, key: &AggregateKey, record: &Record, index: usize) -> Value {
    let stored = &record.events[index];
    let event: Value = serde_json::from_str(stored.event.get()).unwrap_or(Value::Null);
    json!({
        "position": format!("{position}.{index}"),
        "time": stored_at,
        "aggregate": format!("{}/{}", key.kind, key.id),
        "version": record.version + index as u64,
        "actor": record.meta.actor,
        "command_id": record.command_id,
        "correlation_id": record.meta.correlation_id,
        "causation_id": record.meta.causation_id,
        "reason": record.meta.reason,
        "event": event,
    })
}

/// Prints events as JSON lines, in the order of the log.
pub async fn run(connection: &Connection, args: &Args) -> Result<()> {
    match (args.key()?, args.campaign) {
        (Some(key), _) if args.from_archive => replay_archive(connection, args, &key).await,
        (Some(key), _) => {
            let log = connection.log().await?;
            for record in log.read(&key, 1, event_store::log::ALL).await? {
                if args.admits(record.position, record.stored_at) {
                    print_record(record.position, record.stored_at, &key, &record.body)?;
                }
            }
            if args.state {
                let store = EventStore::new(log);
                println!("{}", json!({"state": state(&store, &key, args.until()).await?}));
            }
            Ok(())
        }
        (None, Some(campaign)) => {
            replay_campaign(&EventStore::new(connection.log().await?), args, &campaign.to_string()).await
        }
        (None, None) => bail!("say what to replay: --aggregate TYPE/ID or --campaign ID"),
    }
}

/// From PostgreSQL alone: the log may be gone.
async fn replay_archive(connection: &Connection, args: &Args, key: &AggregateKey) -> Result<()> {
    let db = connection.db()?;
    for (position, stored_at, record) in projections::archive::records(&db, key).await? {
        if args.admits(position, stored_at) {
            for index in 0..record.events.len() {
                println!("{}", line(position, stored_at, key, &record, index));
            }
        }
    }
    if args.state && args.until().is_none() {
        let state = match key.kind.as_str() {
            "device" => archived_state::<Device>(&db, key).await?,
            "firmware" => archived_state::<Firmware>(&db, key).await?,
            "campaign" => archived_state::<Campaign>(&db, key).await?,
            other => bail!("--state isn't offered for {other} from the archive"),
        };
        println!("{}", json!({"state": state}));
    }
    Ok(())
}

/// The state as the repository of postgres-es folds it from the archived events.
async fn archived_state<A: Decider + serde::Serialize>(db: &Db, key: &AggregateKey) -> Result<Value> {
    let (aggregate, _events) = projections::archive::replay::<A>(db, &key.tenant, &key.id).await?;
    Ok(serde_json::to_value(&aggregate)?)
}

/// Everything in the log that names the campaign.
async fn replay_campaign(store: &EventStore, args: &Args, campaign: &str) -> Result<()> {
    let head = store.log().info().await?.last_sequence;
    let mut records = store.log().subscribe(1);
    while let Some(delivery) = records.next().await {
        match delivery? {
            Delivery::Record(record) => {
                let of_tenant = record.key.tenant.as_str() == args.tenant;
                let names_it = record.key.id == campaign || contains(&record.body, campaign.as_bytes());
                if of_tenant && names_it && args.admits(record.position, record.stored_at) {
                    print_record(record.position, record.stored_at, &record.key, &record.body)?;
                }
                if record.position >= head {
                    return Ok(());
                }
            }
            Delivery::CaughtUp { position } if position >= head => return Ok(()),
            Delivery::CaughtUp { .. } => {}
        }
    }
    Ok(())
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|window| window == needle)
}

fn print_record(position: u64, stored_at: DateTime<Utc>, key: &AggregateKey, body: &[u8]) -> Result<()> {
    let record = Record::decode(position, body)?;
    for index in 0..record.events.len() {
        println!("{}", line(position, stored_at, key, &record, index));
    }
    Ok(())
}

/// The state of any aggregate, at any moment.
async fn state(store: &EventStore, key: &AggregateKey, at: Option<At>) -> Result<Value> {
    match key.kind.as_str() {
        "device" => state_of::<Device>(store, key, at, key.id.parse()?).await,
        "firmware" => state_of::<Firmware>(store, key, at, key.id.parse()?).await,
        "campaign" => state_of::<Campaign>(store, key, at, key.id.parse()?).await,
        "rollout_ledger" => state_of::<Ledger>(store, key, at, key.id.parse()?).await,
        "campaign_plan" | "claim" => bail!("--state isn't offered for {}: its events say everything", key.kind),
        other => bail!(
            "{other} is no aggregate type; there are device, firmware, campaign, rollout_ledger, campaign_plan, claim"
        ),
    }
}

async fn state_of<A: Decider + serde::Serialize>(
    store: &EventStore,
    key: &AggregateKey,
    at: Option<At>,
    id: A::Id,
) -> Result<Value> {
    let key = domain::Key::<A>::new(&key.tenant, &id);
    let loaded = store.load_at(&key, at.unwrap_or(At::Position(u64::MAX))).await?;
    Ok(serde_json::to_value(&loaded.aggregate)?)
}

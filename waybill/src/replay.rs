//! `waybill replay`: history from the log (or from the archive), up to a position or a time.

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, SubsecRound, Utc};
use domain::campaign::Campaign;
use domain::device::Device;
use domain::events::without_hidden;
use domain::firmware::Firmware;
use domain::fuota::FuotaDeployment;
use domain::group::Group;
use domain::ledger::Ledger;
use domain::lorawan_profile::LorawanProfile;
use domain::{AggregateKey, Decider, TenantId};
use event_store::position::{InvalidPosition, WrittenPosition};
use event_store::{At, Delivery, EventStore, Log, RawRecord, Record};
use futures::StreamExt;
use projections::Db;
use projections::archive::{self, Archived};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::{out, times};

/// What to replay and how far.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One aggregate: `device/ID`, `firmware/ID`, `campaign/ID`, `group/ID`, `rollout_ledger/ID`, `campaign_plan/PLAN-INDEX`, `claim/ID`
    #[arg(long, value_name = "TYPE/ID", conflicts_with = "campaign")]
    pub aggregate: Option<String>,
    /// All events of one campaign: its own, its plan, its grants, its devices' updates
    #[arg(long, value_name = "ID")]
    pub campaign: Option<uuid::Uuid>,
    /// Tenant
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Up to this time, with its zone (RFC 3339), such as 2026-03-01T14:03:00Z: events that were stored or decided by then
    #[arg(long, value_name = "TIME", value_parser = times::parse_past, conflicts_with = "at_position")]
    pub at: Option<DateTime<Utc>>,
    /// Up to and including this position, in any form of replies, histories or lines; the whole record counts
    #[arg(long, value_name = "POSITION", value_parser = parse_position)]
    pub at_position: Option<u64>,
    /// Read the archive in PostgreSQL instead of the log
    #[arg(long)]
    pub from_archive: bool,
    /// Print the resulting state, too (for one aggregate)
    #[arg(long, conflicts_with = "campaign")]
    pub state: bool,
}

fn parse_position(text: &str) -> Result<u64, InvalidPosition> {
    text.parse::<WrittenPosition>().map(WrittenPosition::sequence)
}

impl Args {
    fn until(&self) -> Option<At> {
        self.at.map(At::Time).or(self.at_position.map(At::Position))
    }

    fn admits(&self, entry: &Entry) -> bool {
        self.until().is_none_or(|at| at.covers(entry.position, entry.stored_at, entry.record.meta.recorded_at))
    }

    /// Refuses a position in the future, because the present state would be a wrong answer.
    fn check_position(&self, end: u64, whose: &str) -> Result<()> {
        match self.at_position {
            Some(wanted) if wanted > end => bail!("position {wanted} lies in the future: {whose} ends at {end}"),
            _ => Ok(()),
        }
    }

    fn key(&self) -> Result<Option<AggregateKey>> {
        let Some(text) = &self.aggregate else { return Ok(None) };
        let (kind, id) = text.split_once('/').context("--aggregate takes TYPE/ID, such as device/d-1")?;
        check_id(kind, id).with_context(|| format!("{id:?} is not a valid id of a {kind}"))?;
        Ok(Some(AggregateKey { tenant: self.tenant_id()?, kind: kind.to_owned(), id: id.to_owned() }))
    }

    fn tenant_id(&self) -> Result<TenantId> {
        TenantId::new(&*self.tenant).with_context(|| format!("{:?} is not a valid tenant", self.tenant))
    }
}

/// An id is one literal token of a subject, of the form that its type has.
fn check_id(kind: &str, id: &str) -> Result<()> {
    match kind {
        "device" => {
            id.parse::<domain::DeviceId>()?;
        }
        "firmware" | "campaign" | "rollout_ledger" | "registration_token" | "api_key" | "fuota_deployment" => {
            id.parse::<uuid::Uuid>()?;
        }
        "group" => {
            id.parse::<domain::GroupId>()?;
        }
        "lorawan_profile" => {
            id.parse::<domain::DeviceProfileId>()?;
        }
        "campaign_plan" => {
            let (plan, index) = id.rsplit_once('-').context("a plan chunk is PLAN-INDEX")?;
            plan.parse::<uuid::Uuid>()?;
            index.parse::<u32>()?;
        }
        "claim" => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_:".contains(&b);
            ensure!(!id.is_empty() && id.bytes().all(plain), "letters, digits, -, _ and :");
        }
        other => bail!(
            "{other} is not an aggregate type; the types are device, firmware, campaign, group, rollout_ledger, campaign_plan, claim, registration_token, api_key, fuota_deployment, lorawan_profile"
        ),
    }
    Ok(())
}

/// One line of a replay: an event with its position, time and cause.
pub fn line(position: u64, stored_at: DateTime<Utc>, key: &AggregateKey, record: &Record, index: usize) -> Value {
    let stored = &record.events[index];
    let event = without_hidden(serde_json::from_str(stored.event.get()).unwrap_or(Value::Null));
    let meta = stored.metadata(&record.meta);
    json!({
        "position": format!("{position}-{index}"),
        // As precise as PostgreSQL stores it, so that log and archive print the same.
        "time": stored_at.trunc_subsecs(6),
        "aggregate": format!("{}/{}", key.kind, key.id),
        "version": record.version + index as u64,
        "actor": meta.actor,
        "command_id": record.command_id,
        "correlation_id": meta.correlation_id,
        "causation_id": meta.causation_id,
        "causation_position": meta.caused_at().map(|position| position.to_string()),
        "traceparent": meta.traceparent,
        "reason": meta.reason,
        "event": event,
    })
}

/// A record with its position, from the log or from the archive.
struct Entry {
    position: u64,
    stored_at: DateTime<Utc>,
    key: AggregateKey,
    record: Record,
}

impl From<Archived> for Entry {
    fn from(archived: Archived) -> Self {
        let Archived { position, stored_at, key, record } = archived;
        Self { position, stored_at, key, record }
    }
}

impl Entry {
    fn of(raw: RawRecord) -> Result<Self> {
        let record = Record::decode(raw.position, &raw.body)?;
        Ok(Self { position: raw.position, stored_at: raw.stored_at, key: raw.key, record })
    }

    fn print(&self) -> Result<()> {
        (0..self.record.events.len())
            .try_for_each(|index| out::line(line(self.position, self.stored_at, &self.key, &self.record, index)))
    }
}

/// Prints events as JSON lines, in the order of the log. An empty result is an error, so that a mistyped id isn't taken for an empty
/// history.
pub async fn run(connection: &Connection, args: &Args) -> Result<()> {
    let (what, printed) = match (args.key()?, args.campaign) {
        (Some(key), _) => (format!("{}/{}", key.kind, key.id), replay_aggregate(connection, args, &key).await?),
        (None, Some(campaign)) => {
            let printed = match args.from_archive {
                true => archived_campaign(&connection.db()?, args, &campaign.to_string()).await?,
                false => logged_campaign(&*connection.log().await?, args, &campaign.to_string()).await?,
            };
            (format!("campaign {campaign}"), printed)
        }
        (None, None) => bail!("say what to replay: --aggregate TYPE/ID or --campaign ID"),
    };
    let until = if args.until().is_some() { " until then" } else { "" };
    ensure!(printed > 0, "there are no events of {what} in tenant {}{until}", args.tenant);
    Ok(())
}

async fn replay_aggregate(connection: &Connection, args: &Args, key: &AggregateKey) -> Result<usize> {
    // The archive is read from PostgreSQL alone, because the log may be lost.
    if args.from_archive {
        let db = connection.db()?;
        check_archive_position(&db, args).await?;
        let found = archive::records(&db, key).await?;
        let entries: Vec<Entry> = found.into_iter().map(Entry::from).take_while(|entry| args.admits(entry)).collect();
        entries.iter().try_for_each(Entry::print)?;
        if args.state && !entries.is_empty() {
            out::line(json!({"state": archived_state(&db, key, args, &entries).await?}))?;
        }
        return Ok(entries.len());
    }
    let log = connection.log().await?;
    args.check_position(log.info().await?.last_sequence, "the log")?;
    let found = log.read(key, 1, event_store::log::ALL).await?;
    let entries: Vec<Entry> = found
        .into_iter()
        .map(|stored| {
            let record = Record::decode(stored.position, &stored.body)?;
            anyhow::Ok(Entry { position: stored.position, stored_at: stored.stored_at, key: key.clone(), record })
        })
        .collect::<Result<_>>()?;
    let entries: Vec<Entry> = entries.into_iter().take_while(|entry| args.admits(entry)).collect();
    entries.iter().try_for_each(Entry::print)?;
    if args.state && !entries.is_empty() {
        out::line(json!({"state": state(&EventStore::new(log), key, args.until()).await?}))?;
    }
    Ok(entries.len())
}

/// All events in the log that name the campaign.
async fn logged_campaign(log: &dyn Log, args: &Args, campaign: &str) -> Result<usize> {
    let head = log.info().await?.last_sequence;
    args.check_position(head, "the log")?;
    let mut records = log.subscribe(1);
    let mut printed = 0;
    while let Some(delivery) = records.next().await {
        let position = match delivery? {
            Delivery::Record(record) => {
                let position = record.position;
                let of_tenant = record.key.tenant.as_str() == args.tenant;
                let names_it = record.key.id == campaign || contains(&record.body, campaign.as_bytes());
                if of_tenant && names_it {
                    let entry = Entry::of(record)?;
                    if args.admits(&entry) {
                        entry.print()?;
                        printed += 1;
                    }
                }
                position
            }
            Delivery::CaughtUp { position } => position,
        };
        if position >= head {
            break;
        }
    }
    Ok(printed)
}

/// The same from PostgreSQL.
async fn archived_campaign(db: &Db, args: &Args, campaign: &str) -> Result<usize> {
    let tenant = args.tenant_id()?;
    check_archive_position(db, args).await?;
    let (mut printed, mut after) = (0, 0);
    loop {
        let page = archive::records_of_campaign(db, &tenant, campaign, after, u64::MAX).await?;
        let Some(last) = page.last() else { return Ok(printed) };
        after = last.position;
        for entry in page.into_iter().map(Entry::from).filter(|entry| args.admits(entry)) {
            entry.print()?;
            printed += 1;
        }
    }
}

async fn check_archive_position(db: &Db, args: &Args) -> Result<()> {
    if args.at_position.is_none() {
        return Ok(());
    }
    let positions = db.positions().await?;
    let end = positions.iter().find(|(name, _)| name == "archive").map_or(0, |(_, position)| *position);
    args.check_position(end, "the archive")
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|window| window == needle)
}

/// A state without the hashes of tokens in it.
fn printed(state: &impl serde::Serialize) -> Result<Value> {
    let mut state = serde_json::to_value(state)?;
    remove_hashes(&mut state);
    Ok(state)
}

fn remove_hashes(state: &mut Value) {
    match state {
        Value::Object(fields) => {
            fields.remove("hash");
            fields.values_mut().for_each(remove_hashes);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_hashes),
        _ => {}
    }
}

/// The error for types whose state is not printed.
fn stateless(kind: &str) -> Result<Value> {
    bail!("--state isn't offered for {kind}: its events have everything")
}

/// The state that archived events lead to: all events through the repository of postgres-es, or those up to a position or time.
async fn archived_state(db: &Db, key: &AggregateKey, args: &Args, entries: &[Entry]) -> Result<Value> {
    async fn of<A: Decider + serde::Serialize>(
        db: &Db,
        key: &AggregateKey,
        entries: Option<&[Entry]>,
    ) -> Result<Value> {
        let Some(entries) = entries else {
            let (aggregate, _events) = archive::replay::<A>(db, &key.tenant, &key.id).await?;
            return printed(&aggregate);
        };
        let mut aggregate = A::default();
        for entry in entries {
            for event in entry.record.decode_events::<A::Event>(entry.position)? {
                aggregate.apply(event);
            }
        }
        printed(&aggregate)
    }
    let entries = args.until().map(|_| entries);
    match key.kind.as_str() {
        "device" => of::<Device>(db, key, entries).await,
        "firmware" => of::<Firmware>(db, key, entries).await,
        "campaign" => of::<Campaign>(db, key, entries).await,
        "group" => of::<Group>(db, key, entries).await,
        "rollout_ledger" => of::<Ledger>(db, key, entries).await,
        "fuota_deployment" => of::<FuotaDeployment>(db, key, entries).await,
        "lorawan_profile" => of::<LorawanProfile>(db, key, entries).await,
        other => stateless(other),
    }
}

/// The state of any aggregate, at any position or time.
async fn state(store: &EventStore, key: &AggregateKey, at: Option<At>) -> Result<Value> {
    match key.kind.as_str() {
        "device" => state_of::<Device>(store, key, at, key.id.parse()?).await,
        "firmware" => state_of::<Firmware>(store, key, at, key.id.parse()?).await,
        "campaign" => state_of::<Campaign>(store, key, at, key.id.parse()?).await,
        "group" => state_of::<Group>(store, key, at, key.id.parse()?).await,
        "rollout_ledger" => state_of::<Ledger>(store, key, at, key.id.parse()?).await,
        "fuota_deployment" => state_of::<FuotaDeployment>(store, key, at, key.id.parse()?).await,
        "lorawan_profile" => state_of::<LorawanProfile>(store, key, at, key.id.parse()?).await,
        other => stateless(other),
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
    printed(&*loaded.aggregate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_device_is_printed_without_hashes() {
        let golden = include_str!("../../domain/golden/device.credential_issued.v1.json");
        let mut device = Device::default();
        device.apply(&serde_json::from_str(golden).unwrap());
        let shown = printed(&device).unwrap();
        assert!(shown["credentials"]["current"][0]["id"].is_string(), "{shown}");
        assert!(!shown.to_string().contains("c0ffee"), "{shown}");
    }
}

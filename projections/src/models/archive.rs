//! The archive: the original bytes of every record, and every event in the layout that postgres-es reads.
//!
//! Works on raw records, so that what can't be decoded is kept, too.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{AggregateKey, TenantId};
use event_store::{RawRecord, Record};
use sha2::{Digest, Sha256};
use sqlx::{Acquire as _, PgConnection, Row as _};

use super::ReadModel;
use crate::db::{Db, DbError, settle};
use crate::decode::Decoded;

pub(crate) struct ArchiveModel;

#[async_trait]
impl ReadModel for ArchiveModel {
    fn name(&self) -> &'static str {
        crate::ARCHIVE
    }

    fn tables(&self) -> Vec<&'static str> {
        vec!["records", "events"]
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
        let raw: Vec<&RawRecord> = batch.iter().map(|record| &record.raw).collect();
        store_records(connection, &raw).await?;
        let events = batch.iter().map(|record| (&record.raw, &record.record));
        store_events(connection, events.collect()).await
    }

    async fn keep_unreadable(&self, connection: &mut PgConnection, raw: &RawRecord) -> Result<bool, DbError> {
        store_records(connection, &[raw]).await?;
        // Unknown to this program, and yet of the record's form.
        if let Ok(record) = Record::decode(raw.position, &raw.body) {
            let mut savepoint = connection.begin().await?;
            let done = store_events(&mut savepoint, vec![(raw, &record)]).await;
            if let Err(error) = settle(savepoint, done).await? {
                tracing::warn!(position = raw.position, error, "Of a record nothing but its bytes is archived.");
            }
        }
        Ok(true)
    }
}

/// Keeps the bytes of records.
pub(crate) async fn store_records(connection: &mut PgConnection, batch: &[&RawRecord]) -> Result<(), DbError> {
    let headers = batch.iter().map(|raw| serde_json::to_value(&raw.headers)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO records (position, tenant, subject, stored_at, headers, body, sha256)
         SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[], $6::bytea[], $7::bytea[])
         ON CONFLICT (tenant, position) DO NOTHING",
    )
    .bind(batch.iter().map(|raw| raw.position as i64).collect::<Vec<_>>())
    .bind(batch.iter().map(|raw| raw.key.tenant.to_string()).collect::<Vec<_>>())
    .bind(batch.iter().map(|raw| raw.subject.clone()).collect::<Vec<_>>())
    .bind(batch.iter().map(|raw| raw.stored_at).collect::<Vec<_>>())
    .bind(headers)
    .bind(batch.iter().map(|raw| raw.body.to_vec()).collect::<Vec<_>>())
    .bind(batch.iter().map(|raw| Sha256::digest(&raw.body).to_vec()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// One row of `events` in the order of [`INSERT_EVENTS`]. JSON travels as text, so that it is stored as it was written.
struct EventRow {
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: String,
    metadata: String,
    tenant: String,
    position: i64,
    index: i64,
    time: DateTime<Utc>,
    actor: String,
    correlation_id: String,
    causation_id: Option<String>,
    causation_position: Option<i64>,
}

const INSERT_EVENTS: &str = "
INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, tenant, position, index, time,
  actor, correlation_id, causation_id, causation_position)
SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::json, metadata::json, tenant, position, index, time,
  actor, correlation_id, causation_id, causation_position
FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
  $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::bigint[])
  AS t (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, tenant, position, index, time, actor,
  correlation_id, causation_id, causation_position)
ON CONFLICT (aggregate_type, aggregate_id, sequence) DO NOTHING";

async fn store_events(connection: &mut PgConnection, batch: Vec<(&RawRecord, &Record)>) -> Result<(), DbError> {
    let mut rows = Vec::new();
    for (raw, record) in batch {
        for index in 0..record.events.len() {
            rows.push(event_row(raw, record, index)?);
        }
    }
    let texts = |field: fn(&EventRow) -> &String| rows.iter().map(|row| field(row).clone()).collect::<Vec<_>>();
    let numbers = |field: fn(&EventRow) -> i64| rows.iter().map(field).collect::<Vec<_>>();
    sqlx::query(INSERT_EVENTS)
        .bind(texts(|row| &row.aggregate_type))
        .bind(texts(|row| &row.aggregate_id))
        .bind(numbers(|row| row.sequence))
        .bind(texts(|row| &row.event_type))
        .bind(texts(|row| &row.event_version))
        .bind(texts(|row| &row.payload))
        .bind(texts(|row| &row.metadata))
        .bind(texts(|row| &row.tenant))
        .bind(numbers(|row| row.position))
        .bind(numbers(|row| row.index))
        .bind(rows.iter().map(|row| row.time).collect::<Vec<_>>())
        .bind(texts(|row| &row.actor))
        .bind(texts(|row| &row.correlation_id))
        .bind(rows.iter().map(|row| row.causation_id.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.causation_position).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn event_row(raw: &RawRecord, record: &Record, index: usize) -> Result<EventRow, DbError> {
    let stored = &record.events[index];
    let event_type = event_store::upcast::type_of(stored, raw.position)
        .map_err(|error| DbError::Invalid(error.to_string()))?
        .into_owned();
    let meta = stored.metadata(&record.meta);
    let causation_id = meta.causation_id.map(|id| id.to_string());
    // The framework reads metadata as a flat map of strings.
    let mut metadata = BTreeMap::from([
        ("command_id", record.command_id.to_string()),
        ("actor", meta.actor.to_string()),
        ("correlation_id", meta.correlation_id.to_string()),
        ("recorded_at", meta.recorded_at.to_rfc3339()),
        ("position", format!("{}-{index}", raw.position)),
    ]);
    metadata.extend(causation_id.clone().map(|id| ("causation_id", id)));
    metadata.extend(meta.causation_position.map(|position| ("causation_position", format!("{position}-0"))));
    metadata.extend(meta.traceparent.clone().map(|traceparent| ("traceparent", traceparent)));
    Ok(EventRow {
        aggregate_type: raw.key.kind.clone(),
        aggregate_id: format!("{}/{}", raw.key.tenant, raw.key.id),
        sequence: sequence(raw.position, record.version, index)?,
        event_type,
        event_version: stored.schema.to_string(),
        payload: stored.event.get().to_owned(),
        metadata: serde_json::to_string(&metadata)?,
        tenant: raw.key.tenant.to_string(),
        position: raw.position as i64,
        index: index as i64,
        time: meta.recorded_at,
        actor: meta.actor.to_string(),
        correlation_id: meta.correlation_id.to_string(),
        causation_id,
        causation_position: meta.causation_position.map(|position| position as i64),
    })
}

/// The version that the event brings its aggregate to.
fn sequence(position: u64, version: u64, index: usize) -> Result<i64, DbError> {
    let sequence = version.checked_add(index as u64).and_then(|sequence| i64::try_from(sequence).ok());
    sequence.ok_or_else(|| DbError::Invalid(format!("the record at {position} has version {version}")))
}

/// A record from the archive, checked against its digest.
#[derive(Debug)]
pub struct Archived {
    pub position: u64,
    /// When the log stored it.
    pub stored_at: DateTime<Utc>,
    pub key: AggregateKey,
    pub record: Record,
}

/// Most records read in one go.
const PAGE_RECORDS: i64 = 1_000;

/// The records of one aggregate, in order.
pub async fn records(db: &Db, key: &AggregateKey) -> Result<Vec<Archived>, DbError> {
    let subject = event_store::subject::of(key);
    select(db, &key.tenant, "subject = $2", &subject, i64::MAX).await
}

/// The records behind `after` that are a campaign's own or name it, a page of them in order; empty at the end.
pub async fn records_of_campaign(
    db: &Db,
    tenant: &TenantId,
    campaign: &str,
    after: u64,
) -> Result<Vec<Archived>, DbError> {
    let condition =
        format!("position > {after} AND (position(convert_to($2, 'UTF8') IN body) > 0 OR subject LIKE '%.' || $2)");
    select(db, tenant, &condition, campaign, PAGE_RECORDS).await
}

/// Those of a tenant that fulfil a condition on `$2`.
async fn select(
    db: &Db,
    tenant: &TenantId,
    condition: &str,
    value: &str,
    limit: i64,
) -> Result<Vec<Archived>, DbError> {
    let mut tx = db.read(tenant).await?;
    let sql = format!(
        "SELECT position, stored_at, subject, body, sha256 FROM records WHERE tenant = $1 AND {condition} ORDER BY position LIMIT $3"
    );
    let rows = sqlx::query(&sql).bind(tenant.as_str()).bind(value).bind(limit).fetch_all(&mut *tx.0).await?;
    rows.iter().map(archived).collect()
}

fn archived(row: &sqlx::postgres::PgRow) -> Result<Archived, DbError> {
    let position = row.try_get::<i64, _>("position")? as u64;
    let (body, digest): (Vec<u8>, Vec<u8>) = (row.try_get("body")?, row.try_get("sha256")?);
    if Sha256::digest(&body)[..] != digest[..] {
        return Err(DbError::Invalid(format!("the archived record at {position} was changed")));
    }
    let subject: &str = row.try_get("subject")?;
    let invalid = |what: &dyn std::fmt::Display| DbError::Invalid(format!("the archived record at {position}: {what}"));
    Ok(Archived {
        position,
        stored_at: row.try_get("stored_at")?,
        key: event_store::subject::parse(subject).ok_or_else(|| invalid(&"no subject of the log"))?,
        record: Record::decode(position, &body).map_err(|error| invalid(&error))?,
    })
}

/// An aggregate folded from the archive by the repository of postgres-es.
pub async fn replay<A>(db: &Db, tenant: &TenantId, id: &str) -> Result<(A, usize), DbError>
where
    A: domain::Decider,
    <A as cqrs_es::Aggregate>::Event: cqrs_es::DomainEvent,
{
    use cqrs_es::persist::PersistedEventRepository;
    let pool = db.reader_pool(tenant);
    let repository = postgres_es::PostgresEventRepository::new(pool.clone());
    let name = format!("{tenant}/{id}");
    let reading = repository.get_events::<A>(&name);
    let read = async { reading.await.map_err(|error| DbError::Unavailable(error.to_string())) };
    let events = db.line().carry(read).await;
    pool.close().await;
    let events = events?;
    let count = events.len();
    let mut aggregate = A::default();
    for event in events {
        aggregate.apply(serde_json::from_value(event.payload)?);
    }
    Ok((aggregate, count))
}

//! The archive: the original bytes of every record, and every event in the layout that postgres-es reads.
//!
//! Works on raw records, so that what can't be decoded is kept, too.

use async_trait::async_trait;
use domain::{AggregateKey, TenantId};
use event_store::{RawRecord, Record};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row as _};

use super::ReadModel;
use crate::db::{Db, DbError};
use crate::decode::Decoded;

pub(crate) struct ArchiveModel;

#[async_trait]
impl ReadModel for ArchiveModel {
    fn name(&self) -> &'static str {
        crate::ARCHIVE
    }

    fn tables(&self) -> &'static [&'static str] {
        &["records", "events"]
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
        let raw: Vec<&RawRecord> = batch.iter().map(|record| &record.raw).collect();
        store_records(connection, &raw).await?;
        store_events(connection, batch).await
    }
}

/// Keeps the bytes of records.
pub(crate) async fn store_records(connection: &mut PgConnection, batch: &[&RawRecord]) -> Result<(), DbError> {
    let headers = batch.iter().map(|raw| serde_json::to_value(&raw.headers)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO records (position, tenant, subject, stored_at, headers, body, sha256)
         SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[], $6::bytea[], $7::bytea[])
         ON CONFLICT (position) DO NOTHING",
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

async fn store_events(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let mut rows = Vec::new();
    for record in batch {
        for (index, stored) in record.record.events.iter().enumerate() {
            let payload: Value = serde_json::from_str(stored.event.get())?;
            rows.push(event_row(record, index, stored.schema, payload));
        }
    }
    sqlx::query(
        "INSERT INTO events SELECT * FROM jsonb_populate_recordset(NULL::events, $1)
         ON CONFLICT (aggregate_type, aggregate_id, sequence) DO NOTHING",
    )
    .bind(Value::Array(rows))
    .execute(connection)
    .await?;
    Ok(())
}

fn event_row(record: &Decoded, index: usize, schema: u16, payload: Value) -> Value {
    let meta = &record.record.meta;
    let causation = meta.causation_id.map(|id| id.to_string());
    // The framework reads metadata as a flat map of strings.
    let mut metadata = json!({
        "command_id": record.record.command_id.to_string(),
        "actor": meta.actor.to_string(),
        "correlation_id": meta.correlation_id.to_string(),
        "recorded_at": meta.recorded_at.to_rfc3339(),
        "position": format!("{}.{index}", record.raw.position),
    });
    if let Some(causation) = &causation {
        metadata["causation_id"] = json!(causation);
    }
    json!({
        "aggregate_type": record.raw.key.kind,
        "aggregate_id": format!("{}/{}", record.raw.key.tenant, record.raw.key.id),
        "sequence": record.record.version + index as u64,
        "event_type": payload["type"],
        "event_version": schema.to_string(),
        "payload": payload,
        "metadata": metadata,
        "tenant": record.raw.key.tenant,
        "position": record.raw.position,
        "index": index,
        "time": meta.recorded_at,
        "actor": meta.actor,
        "correlation_id": meta.correlation_id,
        "causation_id": causation,
    })
}

/// An archived record: its position, when the log stored it, and the record itself.
pub type Archived = (u64, chrono::DateTime<chrono::Utc>, Record);

/// The records of one aggregate from the archive, in order, each checked against its digest.
pub async fn records(db: &Db, key: &AggregateKey) -> Result<Vec<Archived>, DbError> {
    let mut tx = db.read(&key.tenant).await?;
    let rows = sqlx::query(
        "SELECT position, stored_at, body, sha256 FROM records WHERE tenant = $1 AND subject = $2 ORDER BY position",
    )
    .bind(key.tenant.as_str())
    .bind(event_store::subject::of(key))
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter()
        .map(|row| {
            let position = row.try_get::<i64, _>(0)? as u64;
            let body: Vec<u8> = row.try_get(2)?;
            let digest: Vec<u8> = row.try_get(3)?;
            if Sha256::digest(&body)[..] != digest[..] {
                return Err(DbError::Invalid(format!("the archived record at {position} was changed")));
            }
            let record = Record::decode(position, &body).map_err(|error| DbError::Invalid(error.to_string()))?;
            Ok((position, row.try_get(1)?, record))
        })
        .collect()
}

/// An aggregate folded from the archive by the repository of postgres-es.
pub async fn replay<A>(db: &Db, tenant: &TenantId, id: &str) -> Result<(A, usize), DbError>
where
    A: domain::Decider,
    <A as cqrs_es::Aggregate>::Event: cqrs_es::DomainEvent,
{
    use cqrs_es::persist::PersistedEventRepository;
    let repository = postgres_es::PostgresEventRepository::new(db.pool().clone());
    let events = repository
        .get_events::<A>(&format!("{tenant}/{id}"))
        .await
        .map_err(|error| DbError::Unavailable(error.to_string()))?;
    let count = events.len();
    let mut aggregate = A::default();
    for event in events {
        aggregate.apply(serde_json::from_value(event.payload)?);
    }
    Ok((aggregate, count))
}

//! Aggregates that a projection could not apply, with all their later records, in order; and how they are unparked.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{AggregateKey, TenantId};
use event_store::Log;
use sqlx::{Acquire as _, PgConnection, Row as _};

use crate::db::{Db, DbError, settle};
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::models;
use crate::read_model::{ReadModel, apply_at_once};

/// Records of a parked aggregate that are read and applied at once, each up to [`event_store::log::RECORD_MAX_BYTES`].
const PAGE_RECORDS: usize = 64;

/// A parked record.
pub(crate) struct ParkedRecord {
    pub(crate) aggregate: String,
    pub(crate) position: u64,
    pub(crate) error: String,
}

/// Parked aggregates of one projection.
pub(crate) struct Parked {
    projection: &'static str,
    aggregates: HashSet<String>,
}

impl Parked {
    /// No parked aggregates, as at the beginning of the log.
    pub(crate) fn none(projection: &'static str) -> Self {
        Self { projection, aggregates: HashSet::new() }
    }

    pub(crate) async fn load(db: &Db, projection: &'static str) -> Result<Self, DbError> {
        let mut tx = db.read_all().await?;
        let aggregates: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT aggregate FROM parked_records WHERE projection = $1")
                .bind(projection)
                .fetch_all(&mut *tx.0)
                .await?;
        Ok(Self { projection, aggregates: aggregates.into_iter().collect() })
    }

    pub(crate) fn count(&self) -> usize {
        self.aggregates.len()
    }

    /// Whether the record's aggregate is parked.
    pub(crate) fn contains(&self, record: &Decoded) -> bool {
        !self.aggregates.is_empty() && self.aggregates.contains(&record.aggregate())
    }

    /// Writes parked records, in the transaction that moves the checkpoint past them.
    pub(crate) async fn write(&self, connection: &mut PgConnection, records: &[ParkedRecord]) -> Result<(), DbError> {
        for record in records {
            sqlx::query("INSERT INTO parked_records (projection, position, aggregate, error) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
                .bind(self.projection)
                .bind(record.position as i64)
                .bind(&record.aggregate)
                .bind(&record.error)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// To be called when that transaction has committed.
    pub(crate) fn remember(&mut self, records: &[ParkedRecord]) {
        self.aggregates.extend(records.iter().map(|record| record.aggregate.clone()));
    }
}

/// What happened to a projection's parked aggregates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unparked {
    /// Aggregates that could be applied and aren't parked any more.
    pub released: Vec<String>,
    /// Aggregates that stay parked, and why.
    pub still_parked: Vec<(String, String)>,
}

/// Tries the parked records of a projection again, one aggregate at a time. The live projector waits meanwhile and starts over.
/// An aggregate stays parked if unparking it would give rows that differ from a rebuild.
pub async fn unpark(db: &Db, log: Arc<dyn Log>, name: &str) -> Result<Unparked, DbError> {
    let model = models::by_name(name)?;
    let mut tx = db.write_durably().await?;
    let position: i64 = sqlx::query_scalar("SELECT position FROM projection_checkpoints WHERE name = $1 FOR UPDATE")
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?
        .unwrap_or(0);
    let rows = sqlx::query(
        "SELECT aggregate, min(position), max(position) FROM parked_records WHERE projection = $1 GROUP BY 1 ORDER BY 2",
    )
    .bind(name)
    .fetch_all(&mut *tx)
    .await?;
    let mut outcome = Unparked::default();
    for row in rows {
        let aggregate: String = row.try_get(0)?;
        let (first, last): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let mut savepoint = tx.begin().await?;
        let stretch = (first as u64, last as u64, position as u64);
        let done = apply_from_log(&mut savepoint, &log, model, &aggregate, stretch).await;
        match settle(savepoint, done).await? {
            Ok(()) => {
                release(&mut tx, model, &aggregate).await?;
                outcome.released.push(aggregate);
            }
            Err(reason) => outcome.still_parked.push((aggregate, reason)),
        }
    }
    sqlx::query("UPDATE projection_checkpoints SET epoch = epoch + 1 WHERE name = $1")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Refuses an aggregate with records, up to the checkpoint, that change rows of others.
async fn concerns_itself_alone(
    log: &Arc<dyn Log>,
    model: &dyn ReadModel,
    key: &AggregateKey,
    checkpoint: u64,
) -> Result<(), DbError> {
    let mut next = 1;
    while next <= checkpoint {
        let read = log.read(key, next, PAGE_RECORDS).await;
        let raw = read.map_err(|error| DbError::Unavailable(error.to_string()))?;
        let Some(end) = raw.last().map(|record| record.position) else { break };
        for raw in raw.into_iter().filter(|record| record.position <= checkpoint) {
            if model.concerns_others(&Decoded::decode(raw)?) {
                return Err(DbError::Invalid(format!(
                    "what others did to it meanwhile was left out: run `waybill rebuild {}`",
                    model.name()
                )));
            }
        }
        next = end + 1;
    }
    Ok(())
}

/// Applies the records of an aggregate from its first parked one to the checkpoint, page by page. The last parked one must be among them.
async fn apply_from_log(
    connection: &mut PgConnection,
    log: &Arc<dyn Log>,
    model: &dyn ReadModel,
    aggregate: &str,
    (first, last, checkpoint): (u64, u64, u64),
) -> Result<(), DbError> {
    let key = parse_key(aggregate)?;
    concerns_itself_alone(log, model, &key, checkpoint).await?;
    let (mut next, mut reached, mut memory) = (first, 0, Memory::default());
    while next <= checkpoint {
        let read = log.read(&key, next, PAGE_RECORDS).await;
        let mut raw = read.map_err(|error| DbError::Unavailable(error.to_string()))?;
        let Some(end) = raw.last().map(|record| record.position) else { break };
        raw.retain(|record| record.position <= checkpoint);
        reached = raw.last().map_or(reached, |record| record.position);
        let records: Vec<Decoded> = raw.into_iter().map(Decoded::decode).collect::<Result<_, _>>()?;
        if !records.is_empty() {
            apply_at_once(model, connection, &records, &mut memory).await?;
        }
        next = end + 1;
    }
    if reached < last {
        return Err(DbError::Unavailable(format!("the log has not given all records of {aggregate}")));
    }
    Ok(())
}

async fn release(connection: &mut PgConnection, model: &dyn ReadModel, aggregate: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM parked_records WHERE projection = $1 AND aggregate = $2")
        .bind(model.name())
        .bind(aggregate)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn parse_key(aggregate: &str) -> Result<AggregateKey, DbError> {
    let mut parts = aggregate.splitn(3, '/');
    let (Some(tenant), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(DbError::Invalid(format!("{aggregate:?} names no aggregate")));
    };
    let tenant = TenantId::new(tenant).map_err(|error| DbError::Invalid(error.to_string()))?;
    Ok(AggregateKey { tenant, kind: kind.to_owned(), id: id.to_owned() })
}

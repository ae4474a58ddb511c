//! History from the archive: records checked against their digests, and aggregates folded by postgres-es.

use chrono::{DateTime, Utc};
use domain::{AggregateKey, TenantId};
use event_store::Record;
use sha2::{Digest, Sha256};
use sqlx::Row as _;

use crate::db::{Db, DbError, ReadTx};

/// A record from the archive, checked against its digest.
#[derive(Debug)]
pub struct Archived {
    pub position: u64,
    /// When the log stored it.
    pub stored_at: DateTime<Utc>,
    pub key: AggregateKey,
    pub record: Record,
}

/// Most records read at once.
const PAGE_RECORDS: i64 = 1_000;

/// The records of one aggregate, in order.
pub async fn records(db: &Db, key: &AggregateKey) -> Result<Vec<Archived>, DbError> {
    let mut tx = db.read(&key.tenant).await?;
    if is_before_rebuild(&mut tx).await? {
        let subject = event_store::subject::of(key);
        return select(&mut tx, &key.tenant, "subject = $3", &[&subject], i64::MAX).await;
    }
    let names = [&*key.kind, &aggregate_id(&key.tenant, &key.id)];
    select(&mut tx, &key.tenant, "aggregate_type = $3 AND aggregate_id = $4", &names, i64::MAX).await
}

/// An aggregate as postgres-es names it.
pub(super) fn aggregate_id(tenant: &TenantId, id: &str) -> String {
    format!("{tenant}/{id}")
}

/// A page of the records after `after` and up to `until` that belong to a campaign or name it, in order; empty at the end.
pub async fn records_of_campaign(
    db: &Db,
    tenant: &TenantId,
    campaign: &str,
    after: u64,
    until: u64,
) -> Result<Vec<Archived>, DbError> {
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    let condition = format!(
        "position > {after} AND position <= {until} AND (position(convert_to($3, 'UTF8') IN body) > 0 OR subject LIKE '%.' || $3)"
    );
    select(&mut db.read(tenant).await?, tenant, &condition, &[campaign], PAGE_RECORDS).await
}

/// Whether the tables still have the form before migration 40, with an index on subjects. They serve until the archive is rebuilt.
pub(super) async fn is_before_rebuild(tx: &mut ReadTx) -> Result<bool, DbError> {
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'records'::regclass AND attname = 'aggregate_id')";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut *tx.0).await?)
}

/// Records of a tenant that meet a condition on `values`; the first value is `$3`.
async fn select(
    tx: &mut ReadTx,
    tenant: &TenantId,
    condition: &str,
    values: &[&str],
    limit: i64,
) -> Result<Vec<Archived>, DbError> {
    let sql = format!(
        "SELECT position, stored_at, subject, body, sha256 FROM records WHERE tenant = $1 AND {condition} ORDER BY position LIMIT $2"
    );
    let query = sqlx::query(&sql).bind(tenant.as_str()).bind(limit);
    let query = values.iter().fold(query, |query, value| query.bind(*value));
    let rows = query.fetch_all(&mut *tx.0).await?;
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
    let name = aggregate_id(tenant, id);
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

//! Read model `tenants`: state, quotas and rules of each tenant.

use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::tenant::Tenant;
use serde_json::Value;
use sqlx::PgConnection;

use crate::db::{Db, DbError, ReadTx};
use crate::decode::{Decoded, Events};
use crate::row::{Row as _, parse, row};
use crate::table::{Page, Rows, Select};

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRow {
    pub tenant: String,
    pub name: Option<String>,
    /// `active`, `suspended` or `closed`.
    pub status: String,
    pub frozen: bool,
    /// When the last time ended in which nothing might be dispatched to its devices.
    pub released_at: Option<DateTime<Utc>>,
    /// The aggregate.
    pub state: Tenant,
    /// Version of the aggregate.
    pub version: u64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    TenantRow = "tenants" key { tenant: "text" }
    columns { name, status, frozen, released_at, version, created_by, created_at, updated_at, position }
    json { state }
}

pub(crate) const TABLES: &[&str] = &["tenants"];

/// Applies records in order. The rules are the aggregate's own.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_tenants = || {
        batch.iter().filter_map(|record| match &record.events {
            Events::Tenant(events) => Some((record, events)),
            _ => None,
        })
    };
    if of_tenants().next().is_none() {
        return Ok(());
    }
    let keys = of_tenants().map(|(record, _)| vec![record.tenant()]);
    let mut rows = Rows::<TenantRow>::load(connection, keys.collect()).await?;
    for (record, events) in of_tenants() {
        let key = vec![record.tenant()];
        let before = rows.get(&key);
        let mut tenant = before.map(|row| row.state.clone()).unwrap_or_default();
        events.iter().for_each(|event| tenant.apply(event));
        let row = TenantRow::after(before, record, tenant);
        rows.put(row);
    }
    rows.save(connection).await
}

impl TenantRow {
    fn after(before: Option<&Self>, record: &Decoded, state: Tenant) -> Self {
        let by = || (record.record.meta.actor.to_string(), record.at());
        let is_released = before.is_some_and(|row| !row.state.lets_dispatch()) && state.lets_dispatch();
        let released_before = before.and_then(|row| row.released_at);
        let (created_by, created_at) = before.map_or_else(by, |row| (row.created_by.clone(), row.created_at));
        Self {
            tenant: record.tenant(),
            name: state.spec.name.as_ref().and_then(|name| name.plain().cloned()),
            status: state.status().word().to_owned(),
            frozen: state.is_frozen(),
            released_at: if is_released { Some(record.at()) } else { released_before },
            state,
            version: record.record.last_version(),
            created_by,
            created_at,
            updated_at: record.at(),
            position: record.raw.position,
        }
    }
}

/// All tenants by id, for those who run the installation.
pub async fn list_all(db: &Db, after: Option<&str>, limit: usize, count: bool) -> Result<Page<TenantRow>, DbError> {
    let mut tx = db.read_all().await?;
    let select = Select::new(TenantRow::columns_of("t"), "tenants t", "t.tenant");
    let after = after.map(|id| ("t.tenant > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let (items, more, total) = select.page(&mut tx, after, limit, count, TenantRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.tenant.clone()]);
    Ok(Page { items, next, total })
}

/// Tenants that have devices, firmware or groups and were never created, at most `limit`.
pub async fn without_row(db: &Db, limit: usize) -> Result<Vec<TenantId>, DbError> {
    let mut tx = db.read_all().await?;
    // One look into an index for each tenant, however many rows it has.
    let of = |table: &str| {
        format!(
            "SELECT tenant FROM (WITH RECURSIVE t(tenant) AS (
               (SELECT tenant FROM {table} ORDER BY tenant LIMIT 1)
               UNION ALL
               SELECT (SELECT r.tenant FROM {table} r WHERE r.tenant > t.tenant ORDER BY r.tenant LIMIT 1)
               FROM t WHERE t.tenant IS NOT NULL
             ) SELECT tenant FROM t) of_{table}"
        )
    };
    let all = ["devices", "firmware", "groups"].map(of).join(" UNION ");
    let sql = format!(
        "SELECT tenant FROM ({all}) found WHERE tenant IS NOT NULL
           AND NOT EXISTS (SELECT FROM tenants known WHERE known.tenant = found.tenant) ORDER BY tenant LIMIT $1"
    );
    let found: Vec<String> = sqlx::query_scalar(&sql).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    found.into_iter().map(parse).collect()
}

/// Devices in service, counted up to `limit`.
pub async fn devices_in_service(tx: &mut ReadTx, limit: u64) -> Result<u64, DbError> {
    let found =
        sqlx::query_scalar("SELECT count(*) FROM (SELECT FROM devices WHERE lifecycle <> 'decommissioned' LIMIT $1) t");
    count(found.bind(limit.min(i64::MAX as u64) as i64).fetch_one(&mut *tx.0).await)
}

/// Bytes of all firmware that is not deleted, and of the documents of all firmware.
pub async fn firmware_bytes(tx: &mut ReadTx) -> Result<u64, DbError> {
    let found = sqlx::query_scalar(
        "SELECT (coalesce(sum((bytes->>'size')::bigint) FILTER (WHERE status <> 'deleted'), 0) + coalesce(sum(
           (SELECT sum((d.value->>'size')::bigint) FROM jsonb_array_elements(documents) d)), 0))::bigint FROM firmware",
    );
    count(found.fetch_one(&mut *tx.0).await)
}

/// Campaigns that have been started and have not ended.
pub async fn campaigns_under_way(tx: &mut ReadTx) -> Result<u64, DbError> {
    let idle: Vec<&str> = super::campaigns::words_not_under_way();
    let found = sqlx::query_scalar("SELECT count(*) FROM campaigns WHERE NOT (status = ANY ($1))").bind(idle);
    count(found.fetch_one(&mut *tx.0).await)
}

fn count(found: Result<i64, sqlx::Error>) -> Result<u64, DbError> {
    Ok(u64::try_from(found?).unwrap_or(0))
}

/// Whether something may be dispatched to devices of the tenant, in this snapshot, and since when if it once might not. A tenant without a row has
/// not been adopted yet.
pub(crate) async fn lets_dispatch(
    tx: &mut ReadTx,
    tenant: &TenantId,
) -> Result<(bool, Option<DateTime<Utc>>), DbError> {
    let found = sqlx::query_as("SELECT status = 'active' AND NOT frozen, released_at FROM tenants WHERE tenant = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *tx.0)
        .await?;
    Ok(found.unwrap_or((true, None)))
}

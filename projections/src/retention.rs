//! Removes rows that tenants keep for a time: logs of updates, downloads of single devices, measurements.
//!
//! How long is the tenant's own setting ([`Retention`](domain::tenant::Retention)). Queries leave out what is too old before it is removed. So
//! a row that comes back because TELEMETRY is read again isn't shown. Of a closed tenant nothing is kept. Each step removes a bounded number of
//! rows.

use domain::tenant::Kept;
use sqlx::{Postgres, Transaction};

use crate::db::{Db, DbError};

/// A table whose rows are removed by their age.
struct Aging {
    table: &'static str,
    kept: Kept,
    /// Whether a row is older than `days` days, which are less than 0 for a closed tenant.
    is_old: &'static str,
}

const AGING: [Aging; 2] = [
    Aging {
        table: "update_logs",
        kept: Kept::UpdateLogs,
        is_old: "r.received_at <= now() - make_interval(days => k.days)",
    },
    Aging {
        table: "download_devices",
        kept: Kept::DeviceDownloads,
        is_old: "r.day < (now() AT TIME ZONE 'UTC')::date - k.days",
    },
];

/// Removes what is too old, at most `limit` rows of each table; returns whether there may be more.
pub async fn remove_old(db: &Db, limit: usize) -> Result<bool, DbError> {
    let mut is_full = false;
    for aging in &AGING {
        let mut tx = db.write_durably().await?;
        is_full |= aging.remove(&mut tx, limit).await? >= limit;
        tx.commit().await?;
    }
    let mut tx = db.write_durably().await?;
    is_full |= trim_measurements(&mut tx, limit).await? >= limit;
    tx.commit().await?;
    Ok(is_full)
}

impl Aging {
    /// Goes from tenant to tenant by the index, also those that have no row in `tenants` yet.
    async fn remove(&self, tx: &mut Transaction<'static, Postgres>, limit: usize) -> Result<usize, DbError> {
        let Self { table, kept, is_old } = self;
        let days = days(*kept);
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
               WITH RECURSIVE t(tenant) AS (
                 (SELECT tenant FROM {table} ORDER BY tenant LIMIT 1)
                 UNION ALL
                 SELECT (SELECT r.tenant FROM {table} r WHERE r.tenant > t.tenant ORDER BY r.tenant LIMIT 1)
                 FROM t WHERE t.tenant IS NOT NULL
               ), k AS (SELECT t.tenant, coalesce({days}, $2) AS days FROM t LEFT JOIN tenants s ON s.tenant = t.tenant)
               SELECT old.ctid FROM k CROSS JOIN LATERAL (
                 SELECT r.ctid FROM {table} r WHERE r.tenant = k.tenant AND {is_old} LIMIT $1
               ) old LIMIT $1
             ))"
        );
        let removed = sqlx::query(&sql).bind(limit as i64).bind(i32::from(kept.default_days()));
        Ok(removed.execute(&mut **tx).await?.rows_affected() as usize)
    }
}

/// The setting of a tenant in row `s` of `tenants`, less than 0 if it is closed; null without a setting.
fn days(kept: Kept) -> String {
    let field = kept.field();
    format!("CASE WHEN s.status = 'closed' THEN -1 ELSE (s.state->'spec'->'retention'->>'{field}')::int END")
}

/// Takes measurements that are too old out of the rows of devices, which stay: they say which message was the latest. Only of tenants that have
/// set how long, and of closed ones.
async fn trim_measurements(tx: &mut Transaction<'static, Postgres>, limit: usize) -> Result<usize, DbError> {
    let days = days(Kept::Telemetry);
    let sql = format!(
        "UPDATE telemetry_latest l SET readings = o.readings, oldest_at = o.oldest_at,
           data = CASE WHEN l.at <= o.cut THEN '{{}}' ELSE l.data END
         FROM (
           SELECT r.ctid, k.cut, kept.readings, kept.oldest_at
           FROM (SELECT s.tenant, now() - make_interval(days => {days}) AS cut FROM tenants s) k
           JOIN telemetry_latest r ON r.tenant = k.tenant AND (r.oldest_at <= k.cut OR (r.oldest_at IS NULL AND r.readings <> '{{}}'))
           CROSS JOIN LATERAL (
             SELECT coalesce(jsonb_object_agg(e.key, e.value), '{{}}') AS readings, min((e.value->>'at')::timestamptz) AS oldest_at
             FROM jsonb_each(r.readings) e WHERE (e.value->>'at')::timestamptz > k.cut
           ) kept
           WHERE k.cut IS NOT NULL LIMIT $1
         ) o WHERE l.ctid = o.ctid"
    );
    Ok(sqlx::query(&sql).bind(limit as i64).execute(&mut **tx).await?.rows_affected() as usize)
}

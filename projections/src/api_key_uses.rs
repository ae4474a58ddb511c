//! Table `api_key_uses`: when each API key was last used, to a minute.
//!
//! Filled by the processes that let keys in, not from EVENTS: never rebuilt, never compared. A use that is stored late or again never
//! replaces a later one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{ApiKeyId, TenantId};
use sqlx::Row as _;
use uuid::Uuid;

use crate::db::{Db, DbError, ReadTx};

/// The use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    pub tenant: TenantId,
    pub key: ApiKeyId,
    pub at: DateTime<Utc>,
}

/// Stores uses of different keys. In key order, so that two processes wait for each other and don't deadlock.
pub async fn keep(db: &Db, uses: &[KeyUse]) -> Result<(), DbError> {
    let mut tx = db.write_durably().await?;
    sqlx::query(
        "INSERT INTO api_key_uses AS u (tenant, key_id, last_used_at)
         SELECT tenant, key_id, at FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS n (tenant, key_id, at)
         ORDER BY tenant, key_id
         ON CONFLICT (tenant, key_id) DO UPDATE SET last_used_at = EXCLUDED.last_used_at
           WHERE u.last_used_at < EXCLUDED.last_used_at",
    )
    .bind(uses.iter().map(|one| one.tenant.to_string()).collect::<Vec<_>>())
    .bind(uses.iter().map(|one| one.key.0).collect::<Vec<_>>())
    .bind(uses.iter().map(|one| one.at).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// The last use of each of these keys that was used.
pub async fn of_keys(tx: &mut ReadTx, keys: &[ApiKeyId]) -> Result<HashMap<ApiKeyId, DateTime<Utc>>, DbError> {
    let rows = sqlx::query("SELECT key_id, last_used_at FROM api_key_uses WHERE key_id = ANY($1)")
        .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
        .fetch_all(&mut *tx.0)
        .await?;
    rows.iter().map(|row| Ok((ApiKeyId(row.try_get::<Uuid, _>("key_id")?), row.try_get("last_used_at")?))).collect()
}

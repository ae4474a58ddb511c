//! What the process that writes copies of devices into network servers looks for.

use std::collections::BTreeMap;

use domain::device::{Lifecycle, NetworkCopy, SyncState};
use domain::tenant::{ChirpStackConnection, Tenant};
use domain::{DeviceId, TenantId};
use sqlx::Row as _;
use sqlx::types::Json;

use super::device_row::DeviceRow;
use crate::db::{Db, DbError};
use crate::row::{Row as _, parse};

/// A tenant whose devices are to be synced.
#[derive(Debug, Clone)]
pub struct ConnectedTenant {
    pub tenant: TenantId,
    pub connection: ChirpStackConnection,
    /// Of the connection: see [`Tenant::chirpstack_revision`].
    pub revision: u64,
}

/// A device whose copy is synced.
#[derive(Debug, Clone)]
pub struct SyncedDevice {
    pub device: DeviceId,
    pub dev_eui: String,
    pub name: Option<String>,
    pub copy: NetworkCopy,
}

/// Tenants with a connection in use, after `after` in the order of ids.
pub async fn connected(db: &Db, after: Option<&TenantId>, limit: usize) -> Result<Vec<ConnectedTenant>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT tenant, state FROM tenants WHERE status = 'active' AND state ? 'chirpstack' AND tenant > $1
         ORDER BY tenant LIMIT $2",
    )
    .bind(after.map_or("", TenantId::as_str))
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    let mut found = Vec::new();
    for row in rows {
        let Json(state): Json<Tenant> = row.try_get("state")?;
        if let Some((connection, revision)) = state.chirpstack_in_use() {
            found.push(ConnectedTenant {
                tenant: parse(row.try_get("tenant")?)?,
                connection: connection.clone(),
                revision,
            });
        }
    }
    Ok(found)
}

/// Whether the tenant has a device whose copy is to be written or removed; for each of the tenants.
pub async fn with_pending(db: &Db, tenants: &[TenantId]) -> Result<Vec<TenantId>, DbError> {
    let mut tx = db.read_all().await?;
    let ids: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT t.tenant FROM UNNEST($1::text[]) AS t (tenant)
         WHERE EXISTS (SELECT FROM devices d WHERE d.tenant = t.tenant AND d.sync_state = 'pending')",
    )
    .bind(ids)
    .fetch_all(&mut *tx.0)
    .await?;
    found.into_iter().map(parse).collect()
}

/// Devices of a tenant whose copy is to be written or removed, in the order of ids.
pub async fn pending(
    db: &Db,
    tenant: &TenantId,
    after: Option<&DeviceId>,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    let mut tx = db.read(tenant).await?;
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT device_id FROM devices WHERE tenant = $1 AND sync_state = 'pending' AND device_id > $2
         ORDER BY device_id LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(after.map_or("", DeviceId::as_str))
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    found.into_iter().map(parse).collect()
}

/// Devices that another connection than the tenant's present one has refused, in the order of ids.
pub async fn refused_before(
    db: &Db,
    tenant: &TenantId,
    revision: u64,
    after: Option<&DeviceId>,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    let mut tx = db.read(tenant).await?;
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT device_id FROM devices WHERE tenant = $1 AND sync_state = 'failed' AND device_id > $2
           AND (network #>> '{failure,connection}')::bigint <> $3
         ORDER BY device_id LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(after.map_or("", DeviceId::as_str))
    .bind(i64::try_from(revision).unwrap_or(i64::MAX))
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    found.into_iter().map(parse).collect()
}

/// Applications in which devices of the tenant have a synced copy, in order.
pub async fn applications(db: &Db, tenant: &TenantId, limit: usize) -> Result<Vec<String>, DbError> {
    let mut tx = db.read(tenant).await?;
    // One look into the index for each application, however many devices it has.
    let found = sqlx::query_scalar(
        "WITH RECURSIVE a(id) AS (
           (SELECT chirpstack_app_id FROM devices WHERE tenant = $1 AND sync_state = 'synced'
            ORDER BY chirpstack_app_id LIMIT 1)
           UNION ALL
           SELECT (SELECT d.chirpstack_app_id FROM devices d
                   WHERE d.tenant = $1 AND d.sync_state = 'synced' AND d.chirpstack_app_id > a.id
                   ORDER BY d.chirpstack_app_id LIMIT 1)
           FROM a WHERE a.id IS NOT NULL
         ) SELECT id FROM a WHERE id IS NOT NULL LIMIT $2",
    )
    .bind(tenant.as_str())
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    Ok(found)
}

/// Devices of an application whose copy is synced, in the order of their EUIs: those after the first one, up to the second if one is given.
pub async fn synced(
    db: &Db,
    tenant: &TenantId,
    application: &str,
    (after, until): (&str, Option<&str>),
    limit: usize,
) -> Result<Vec<SyncedDevice>, DbError> {
    let mut tx = db.read(tenant).await?;
    let sql = format!(
        "SELECT {} FROM devices t WHERE t.tenant = $1 AND t.chirpstack_app_id = $2 AND t.lorawan_dev_eui > $3
           AND t.lorawan_dev_eui <= coalesce($4, 'g') AND t.sync_state = 'synced' ORDER BY t.lorawan_dev_eui LIMIT $5",
        DeviceRow::columns_of("t")
    );
    let rows = sqlx::query(&sql)
        .bind(tenant.as_str())
        .bind(application)
        .bind(after)
        .bind(until)
        .bind(limit as i64)
        .fetch_all(&mut *tx.0)
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        let row = DeviceRow::read(row)?;
        let Some(copy) = row.network.and_then(|network| network.copy) else { continue };
        if let Some(dev_eui) = row.lorawan_dev_eui {
            found.push(SyncedDevice { device: parse(row.device_id)?, dev_eui, name: row.name, copy });
        }
    }
    Ok(found)
}

/// Devices in service that have these EUIs.
pub async fn by_dev_eui(db: &Db, tenant: &TenantId, euis: &[String]) -> Result<BTreeMap<String, DeviceId>, DbError> {
    let mut tx = db.read(tenant).await?;
    let rows = sqlx::query(
        "SELECT lorawan_dev_eui, device_id FROM devices
         WHERE tenant = $1 AND lorawan_dev_eui = ANY ($2) AND lifecycle = $3",
    )
    .bind(tenant.as_str())
    .bind(euis)
    .bind(Lifecycle::Active.word())
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, parse(row.try_get(1)?)?))).collect()
}

/// Ids of the devices in a state, in order: of a request for all of a tenant's devices.
pub async fn in_state(
    db: &Db,
    tenant: &TenantId,
    states: &[SyncState],
    after: Option<&DeviceId>,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    let mut tx = db.read(tenant).await?;
    let words: Vec<&str> = states.iter().map(|state| state.word()).collect();
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT device_id FROM devices WHERE tenant = $1 AND sync_state = ANY ($2) AND device_id > $3
         ORDER BY device_id LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(words)
    .bind(after.map_or("", DeviceId::as_str))
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    found.into_iter().map(parse).collect()
}

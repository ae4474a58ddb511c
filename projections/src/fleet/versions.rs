//! How many devices of a tenant run each version of each component. Filters by version read this small table instead of all devices.

use std::collections::BTreeMap;

use domain::TenantId;
use domain::device::Lifecycle;
use domain::values::FIRMWARE_COMPONENT;
use domain::version::VersionRequirement;
use futures::TryStreamExt;
use sqlx::PgConnection;

use super::device_row::DeviceRow;
use crate::db::{DbError, ReadTx};
use crate::memory::Memory;
use crate::row::row;
use crate::table::Rows;

/// Devices that run one version of a component.
#[derive(Debug, Clone, PartialEq)]
struct VersionCountRow {
    tenant: String,
    component: String,
    version: String,
    active: i64,
    decommissioned: i64,
}

row! {
    VersionCountRow = "device_version_counts" key { tenant: "text", component: "text", version: "text" }
    columns { active, decommissioned }
    json {}
}

pub(crate) const TABLES: &[&str] = &["device_version_counts"];

/// Adds a batch's changes of devices to the counts.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    memory: &mut Memory,
    devices: &Rows<DeviceRow>,
) -> Result<(), DbError> {
    let mut changes: BTreeMap<[&str; 3], (i64, i64)> = BTreeMap::new();
    for (before, now) in devices.changes() {
        if before.is_some_and(|before| before.versions == now.versions && before.lifecycle == now.lifecycle) {
            continue;
        }
        before.into_iter().for_each(|before| add(&mut changes, before, -1));
        add(&mut changes, now, 1);
    }
    changes.retain(|_, change| *change != (0, 0));
    if changes.is_empty() {
        return Ok(());
    }
    let keys = changes.keys().map(|key| key.map(str::to_owned).to_vec());
    let mut rows = Rows::<VersionCountRow>::recall(connection, memory, keys.collect()).await?;
    let mut any_is_gone = false;
    for (key, (active, decommissioned)) in changes {
        let [tenant, component, version] = key.map(str::to_owned);
        let before =
            rows.get(&[tenant.clone(), component.clone(), version.clone()]).map(|row| (row.active, row.decommissioned));
        let (was_active, was_decommissioned) = before.unwrap_or_default();
        let (active, decommissioned) = (was_active + active, was_decommissioned + decommissioned);
        any_is_gone |= (active, decommissioned) == (0, 0);
        rows.put(VersionCountRow { tenant, component, version, active, decommissioned });
    }
    rows.keep(connection, memory).await?;
    if any_is_gone {
        sqlx::query("DELETE FROM device_version_counts WHERE active = 0 AND decommissioned = 0")
            .execute(connection)
            .await?;
    }
    Ok(())
}

fn add<'a>(changes: &mut BTreeMap<[&'a str; 3], (i64, i64)>, device: &'a DeviceRow, count: i64) {
    for (component, version) in &device.versions {
        let (active, decommissioned) = changes.entry([&device.tenant, component, version]).or_default();
        match device.lifecycle {
            Lifecycle::Decommissioned => *decommissioned += count,
            Lifecycle::Absent | Lifecycle::Active => *active += count,
        }
    }
}

/// The firmware versions that fit among those that devices run, also decommissioned devices. Without a bound: no device may be left out of
/// a list or a plan. In a transaction that sees one tenant, `tenant` isn't needed.
pub(crate) async fn that_fit(
    tx: &mut ReadTx,
    tenant: Option<&TenantId>,
    fits: impl Fn(&str) -> bool,
) -> Result<Vec<String>, DbError> {
    let of_tenant = if tenant.is_some() { "tenant = $2" } else { "$2::text IS NULL" };
    let sql = format!("SELECT version FROM device_version_counts WHERE component = $1 AND {of_tenant} ORDER BY 1");
    let query = sqlx::query_scalar::<_, String>(&sql).bind(FIRMWARE_COMPONENT).bind(tenant.map(TenantId::as_str));
    let mut versions = query.fetch(&mut *tx.0);
    let mut fitting = Vec::new();
    while let Some(version) = versions.try_next().await? {
        if fits(&version) {
            fitting.push(version);
        }
    }
    Ok(fitting)
}

/// The same for the requirement of a filter, as text; none without a requirement.
pub(crate) async fn that_meet(
    tx: &mut ReadTx,
    tenant: Option<&TenantId>,
    requirement: Option<&str>,
) -> Result<Option<Vec<String>>, DbError> {
    let Some(requirement) = requirement else { return Ok(None) };
    let requirement = VersionRequirement::parse(requirement).map_err(DbError::Invalid)?;
    that_fit(tx, tenant, |version| requirement.matches(version)).await.map(Some)
}

/// The versions of a component that active devices of a tenant run.
pub(crate) async fn of_active(
    tx: &mut ReadTx,
    tenant: &str,
    component: &str,
    limit: usize,
) -> Result<Vec<String>, DbError> {
    let sql = format!(
        "SELECT version FROM device_version_counts WHERE tenant = $1 AND component = $2 AND active > 0 ORDER BY 1 LIMIT {limit}"
    );
    Ok(sqlx::query_scalar(&sql).bind(tenant).bind(component).fetch_all(&mut *tx.0).await?)
}

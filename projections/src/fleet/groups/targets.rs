//! The groups that a campaign targets, resolved in the snapshot in which it is planned.

use std::collections::BTreeMap;

use domain::campaign::TargetFilters;
use domain::{GroupId, TenantId};
use serde::Serialize;
use sqlx::Row as _;

use crate::db::{DbError, ReadTx};
use crate::fleet::versions;
use crate::row::from_json;

/// The devices of [`Targets`], for a condition on `device_id`: `$2` names devices, `$9` static groups, `$10` are filters of dynamic ones.
pub(crate) const NAMED_DEVICES: &str = "
SELECT unnest($2::text[])
UNION ALL
SELECT m.device_id FROM group_members m WHERE m.tenant = $1 AND m.group_id = ANY ($9::text[])
UNION ALL
SELECT d.device_id
FROM jsonb_to_recordset($10::jsonb)
       AS g (device_type text, device_model text, hardware_version text, versions text[], tags jsonb)
JOIN devices d ON d.tenant = $1
 AND (g.device_type IS NULL OR d.device_type = g.device_type)
 AND (g.device_model IS NULL OR d.device_model = g.device_model)
 AND (g.hardware_version IS NULL OR d.hardware_version = g.hardware_version)
 AND (g.versions IS NULL OR d.firmware_version = ANY (g.versions))
 AND d.tags @> g.tags
 AND d.lifecycle = 'active'";

/// The groups of a campaign. A group that doesn't exist has no members.
#[derive(Default)]
pub(crate) struct Targets {
    pub(crate) static_groups: Vec<String>,
    pub(crate) filters: Vec<DynamicFilter>,
}

/// The filter of a dynamic group, with the versions that meet its requirement.
#[derive(Serialize)]
pub(crate) struct DynamicFilter {
    device_type: Option<String>,
    device_model: Option<String>,
    hardware_version: Option<String>,
    versions: Option<Vec<String>>,
    tags: BTreeMap<String, String>,
}

pub(crate) async fn load(tx: &mut ReadTx, tenant: &TenantId, groups: &[GroupId]) -> Result<Targets, DbError> {
    let mut targets = Targets::default();
    if groups.is_empty() {
        return Ok(targets);
    }
    let ids: Vec<&str> = groups.iter().map(GroupId::as_str).collect();
    let sql = "SELECT group_id, filter FROM groups WHERE tenant = $1 AND group_id = ANY ($2) AND NOT deleted";
    for row in sqlx::query(sql).bind(tenant.as_str()).bind(&ids).fetch_all(&mut *tx.0).await? {
        match from_json::<Option<TargetFilters>>(row.try_get(1)?)? {
            None => targets.static_groups.push(row.try_get(0)?),
            Some(filter) => targets.filters.push(dynamic(tx, tenant, filter).await?),
        }
    }
    Ok(targets)
}

async fn dynamic(tx: &mut ReadTx, tenant: &TenantId, filter: TargetFilters) -> Result<DynamicFilter, DbError> {
    let TargetFilters { device_type, device_model, hardware_version, firmware_version, tags } = filter;
    let versions = versions::that_meet(tx, Some(tenant), firmware_version.as_deref()).await?;
    Ok(DynamicFilter { device_type, device_model, hardware_version, versions, tags })
}

//! Resolves a campaign's targets: the devices that it selects, and why some of them are excluded.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::campaign::CampaignSpec;
use domain::device::{Candidate, FirmwareSnapshot, Overrides, exclusion, image_max_bytes};
use domain::lorawan::Region;
use domain::planning::PlanCandidate;
use domain::values::Transport;
use domain::{DeviceId, TenantId};
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::Row as _;

use crate::db::{Db, DbError, ReadTx};
use crate::fleet::groups::targets::{self, NAMED_DEVICES};
use crate::fleet::lorawan_profiles::PROFILE_OF_DEVICE;
use crate::fleet::{signatures, versions};

use crate::row::{ColumnValue as _, parse};

const SQL: &str = "
SELECT t.device_id, t.device_model, t.hardware_version, t.versions, t.lifecycle, t.held, t.hold_until,
       t.boot_slots, jsonb_array_length(t.waiting) AS waiting, t.transport,
       CASE WHEN t.transport = 'lorawan' THEN
         (SELECT p.region FROM lorawan_profiles p WHERE p.tenant = t.tenant AND p.profile_id = {profile}) END AS region,
       EXISTS (SELECT FROM updates u WHERE u.tenant = t.tenant AND u.device_id = t.device_id AND u.ordinal = t.live_ordinal
               AND u.component = $6) AS moving
FROM devices t
WHERE t.tenant = $1
  {named}
  AND ($3::text IS NULL OR t.device_type = $3)
  AND ($4::text IS NULL OR t.device_model = $4)
  AND ($5::text IS NULL OR t.hardware_version = $5)
  AND t.tags @> $7
  AND ($8::text[] IS NULL OR t.firmware_version = ANY ($8))
  AND (t.lifecycle = 'active' OR t.device_id = ANY ($2))
ORDER BY t.device_id";

/// The devices of a campaign with their exclusions, in one snapshot, and that snapshot's position.
///
/// None while the snapshot hasn't reached the position at which planning began.
pub async fn plan_candidates(
    db: &Db,
    tenant: &TenantId,
    spec: &CampaignSpec,
    firmware: &FirmwareSnapshot,
    planning_position: u64,
    now: DateTime<Utc>,
) -> Result<Option<(Vec<PlanCandidate>, u64)>, DbError> {
    let mut tx = db.read_at_length().await?;
    let position = snapshot_position(&mut tx).await?;
    if position < planning_position {
        return Ok(None);
    }
    Ok(Some((candidates(&mut tx, tenant, spec, firmware, now, usize::MAX).await?, position)))
}

/// The same for a preview: as of now, and none if there are more than `devices_max`.
pub async fn preview_candidates(
    tx: &mut ReadTx,
    tenant: &TenantId,
    spec: &CampaignSpec,
    firmware: &FirmwareSnapshot,
    now: DateTime<Utc>,
    devices_max: usize,
) -> Result<Option<(Vec<PlanCandidate>, u64)>, DbError> {
    let position = snapshot_position(tx).await?;
    let candidates = candidates(tx, tenant, spec, firmware, now, devices_max.saturating_add(1)).await?;
    Ok((candidates.len() <= devices_max).then_some((candidates, position)))
}

/// Devices with an event after a position, at most `limit`.
pub async fn devices_changed_since(
    db: &Db,
    tenant: &TenantId,
    position: u64,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    let mut tx = db.read_at_length().await?;
    let rows = sqlx::query("SELECT device_id FROM devices WHERE tenant = $1 AND position > $2 LIMIT $3")
        .bind(tenant.as_str())
        .bind(position as i64)
        .bind(limit as i64)
        .fetch_all(&mut *tx.0)
        .await?;
    rows.iter().map(|row| parse(row.try_get("device_id")?)).collect()
}

/// The position that all rows of a snapshot are at.
pub(crate) async fn snapshot_position(tx: &mut ReadTx) -> Result<u64, DbError> {
    let position: Option<i64> = sqlx::query_scalar("SELECT position FROM projection_checkpoints WHERE name = $1")
        .bind(crate::FLEET)
        .fetch_optional(&mut *tx.0)
        .await?;
    Ok(position.unwrap_or(0) as u64)
}

/// The first `limit` devices that the specification selects, with their exclusions.
async fn candidates(
    tx: &mut ReadTx,
    tenant: &TenantId,
    spec: &CampaignSpec,
    firmware: &FirmwareSnapshot,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<PlanCandidate>, DbError> {
    let firmware = &signatures::judged(tx, tenant, firmware).await?;
    let versions = versions::that_meet(tx, Some(tenant), spec.target_filters.firmware_version.as_deref()).await?;
    let named: Vec<String> = spec.target_devices.iter().map(ToString::to_string).collect();
    let filters = &spec.target_filters;
    // Without any, every device is a target.
    let is_named = !named.is_empty() || !spec.target_groups.is_empty();
    let groups = targets::load(tx, tenant, &spec.target_groups).await?;
    let among = if is_named { format!("AND t.device_id IN ({NAMED_DEVICES})") } else { String::new() };
    let profile = PROFILE_OF_DEVICE.replace("d.", "t.");
    let sql = SQL.replace("{named}", &among).replace("{profile}", &profile);
    let mut query = sqlx::query(&sql)
        .bind(tenant.as_str())
        .bind(&named)
        .bind(&filters.device_type)
        .bind(&filters.device_model)
        .bind(&filters.hardware_version)
        .bind(&firmware.component)
        .bind(serde_json::to_value(&filters.tags)?)
        .bind(&versions);
    if is_named {
        query = query.bind(&groups.static_groups).bind(serde_json::to_value(&groups.filters)?);
    }
    let mut rows = query.fetch(&mut *tx.0);
    let mut candidates = Vec::new();
    while candidates.len() < limit
        && let Some(row) = rows.try_next().await?
    {
        candidates.push(candidate(&row, firmware, spec.overrides(), now)?);
    }
    Ok(candidates)
}

fn candidate(
    row: &sqlx::postgres::PgRow,
    firmware: &FirmwareSnapshot,
    overrides: Overrides,
    now: DateTime<Utc>,
) -> Result<PlanCandidate, DbError> {
    let versions: BTreeMap<String, String> = serde_json::from_value(row.try_get::<Value, _>("versions")?)?;
    let (model, hardware): (Option<String>, Option<String>) =
        (row.try_get("device_model")?, row.try_get("hardware_version")?);
    let hold_until: Option<DateTime<Utc>> = row.try_get("hold_until")?;
    let held = row.try_get::<bool, _>("held")? && hold_until.is_none_or(|until| now < until);
    let transport = Transport::from_wire(row.try_get("transport")?)?;
    let facts = Candidate {
        decommissioned: row.try_get::<&str, _>("lifecycle")? == "decommissioned",
        held,
        device_model: model.as_deref(),
        hardware_version: hardware.as_deref(),
        versions: &versions,
        boot_slots: row.try_get::<Option<i64>, _>("boot_slots")?.map(u8::from_wire).transpose()?,
        waiting_updates: row.try_get::<i32, _>("waiting")? as usize,
        image_max_bytes: image_max_bytes(transport, Option::<Region>::from_wire(row.try_get("region")?)?),
    };
    // While an update is under way, the version may still change. So the device is enrolled, waits, and decides when the update has ended.
    let moving: bool = row.try_get("moving")?;
    let excluded = exclusion(facts, firmware, overrides).filter(|reason| !(moving && reason.is_of_version()));
    Ok(PlanCandidate {
        device: parse(row.try_get("device_id")?)?,
        excluded,
        from_version: versions.get(&firmware.component).cloned(),
        lorawan: transport == Transport::Lorawan,
    })
}

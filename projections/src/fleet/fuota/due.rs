//! What the process that sends images looks for. Every answer may lag; the aggregates check again.

use chrono::{DateTime, Utc};
use domain::device::{Phase, ReportStatus};
use domain::fuota::{PendingTransfer, REASON_OTHER_DEPLOYMENT, TransferOutcome, report_due};
use domain::lorawan::Parameters;
use domain::{CampaignId, DeviceId, FirmwareId, FuotaDeploymentId, TenantId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::db::{Db, DbError};
use crate::fleet::lorawan_profiles::PROFILE_OF_DEVICE;
use crate::fleet::timed_update::phase_of;
use crate::row::{ColumnValue as _, from_json, parse};

fn uuid(text: &str) -> Result<uuid::Uuid, DbError> {
    text.parse().map_err(|_| DbError::Invalid(format!("{text:?} is no UUID")))
}

/// Devices whose update waits for its image: of each tenant that has a ChirpStack those that wait longest, at most `limit`. A device of a
/// deployment that isn't removed yet waits for the removal.
pub async fn pending(db: &Db, limit: usize) -> Result<Vec<(TenantId, PendingTransfer)>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = format!(
        "SELECT * FROM (
           SELECT u.tenant, u.device_id, u.ordinal, u.attempt, u.campaign_id, u.phase_since, u.firmware_id,
                  (f.bytes ->> 'size')::bigint AS size, f.bytes ->> 'sha256' AS sha256,
                  d.lorawan_dev_eui, d.chirpstack_app_id, {PROFILE_OF_DEVICE} AS profile,
                  row_number() OVER (PARTITION BY u.tenant ORDER BY u.phase_since, u.device_id) AS place
           FROM updates u
           JOIN devices d ON d.tenant = u.tenant AND d.device_id = u.device_id
           JOIN firmware f ON f.tenant = u.tenant AND f.firmware_id = u.firmware_id
           JOIN tenants c ON c.tenant = u.tenant AND c.status = 'active' AND c.state ? 'chirpstack'
           WHERE u.open AND u.phase = 'accepted' AND d.transport = 'lorawan' AND d.lorawan_dev_eui IS NOT NULL AND d.chirpstack_app_id IS NOT NULL
             AND {PROFILE_OF_DEVICE} IS NOT NULL
             AND NOT EXISTS (SELECT FROM fuota_devices x
                             JOIN fuota_deployments p ON p.tenant = x.tenant AND p.deployment_id = x.deployment_id
                             WHERE x.tenant = u.tenant AND x.device_id = u.device_id
                               AND ((p.removed_at IS NULL AND x.reason IS DISTINCT FROM '{REASON_OTHER_DEPLOYMENT}')
                                 OR (x.ordinal = u.ordinal AND x.attempt = u.attempt AND x.outcome <> 'withdrawn')))
         ) AS waiting WHERE place <= $1"
    );
    let rows = sqlx::query(&sql).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    rows.iter().map(pending_of).collect()
}

fn pending_of(row: &PgRow) -> Result<(TenantId, PendingTransfer), DbError> {
    let campaign: Option<String> = row.try_get("campaign_id")?;
    let transfer = PendingTransfer {
        device: parse(row.try_get("device_id")?)?,
        dev_eui: row.try_get("lorawan_dev_eui")?,
        ordinal: u32::from_wire(row.try_get("ordinal")?)?,
        attempt: u16::from_wire(row.try_get("attempt")?)?,
        campaign: campaign.as_deref().map(uuid).transpose()?.map(CampaignId),
        accepted_at: row.try_get("phase_since")?,
        firmware_id: FirmwareId(uuid(row.try_get("firmware_id")?)?),
        size: u64::from_wire(row.try_get("size")?)?,
        sha256: parse(row.try_get("sha256")?)?,
        application_id: row.try_get("chirpstack_app_id")?,
        device_profile_id: row.try_get("profile")?,
    };
    Ok((parse(row.try_get("tenant")?)?, transfer))
}

/// A deployment that is not removed.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveDeployment {
    pub tenant: TenantId,
    pub id: FuotaDeploymentId,
    pub started_at: Option<DateTime<Utc>>,
    pub is_ended: bool,
    pub parameters: Parameters,
}

/// Deployments that are not removed, at most `limit` of each tenant, the oldest first.
pub async fn live(db: &Db, limit: usize) -> Result<Vec<LiveDeployment>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT * FROM (
           SELECT tenant, deployment_id, started_at, ended_at, parameters,
                  row_number() OVER (PARTITION BY tenant ORDER BY planned_at, deployment_id) AS place
           FROM fuota_deployments WHERE removed_at IS NULL
         ) AS live WHERE place <= $1 ORDER BY tenant, place",
    )
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(LiveDeployment {
                tenant: parse(row.try_get("tenant")?)?,
                id: FuotaDeploymentId(uuid(row.try_get("deployment_id")?)?),
                started_at: row.try_get("started_at")?,
                is_ended: row.try_get::<Option<DateTime<Utc>>, _>("ended_at")?.is_some(),
                parameters: from_json(row.try_get("parameters")?)?,
            })
        })
        .collect()
}

/// What a deployment says of a device's update, which doesn't say so yet.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferReport {
    pub tenant: TenantId,
    pub device: DeviceId,
    pub ordinal: u32,
    pub attempt: u16,
    pub status: ReportStatus,
    /// Why the transfer failed.
    pub reason: Option<String>,
}

/// Reports that are due, at most `limit`.
pub async fn reports_due(db: &Db, limit: usize) -> Result<Vec<TransferReport>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT u.tenant, u.device_id, u.ordinal, u.attempt, u.phase, x.outcome, x.reason
         FROM updates u
         JOIN fuota_devices x ON x.tenant = u.tenant AND x.device_id = u.device_id AND x.ordinal = u.ordinal AND x.attempt = u.attempt
         JOIN fuota_deployments p ON p.tenant = x.tenant AND p.deployment_id = x.deployment_id
         WHERE u.open AND u.phase IN ('accepted', 'downloading')
           AND (x.outcome IN ('delivered', 'failed') OR (x.outcome IS NULL AND p.started_at IS NOT NULL AND u.phase = 'accepted'))
         LIMIT $1",
    )
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    let reports: Result<Vec<_>, DbError> = rows.iter().map(report_of).collect();
    Ok(reports?.into_iter().flatten().collect())
}

fn report_of(row: &PgRow) -> Result<Option<TransferReport>, DbError> {
    let outcome = Option::<TransferOutcome>::from_wire(row.try_get("outcome")?)?;
    let phase: Phase = phase_of(row.try_get("phase")?, None)?;
    // The rows are of started deployments unless they have an outcome.
    let Some(status) = report_due(true, outcome, phase) else { return Ok(None) };
    Ok(Some(TransferReport {
        tenant: parse(row.try_get("tenant")?)?,
        device: parse(row.try_get("device_id")?)?,
        ordinal: u32::from_wire(row.try_get("ordinal")?)?,
        attempt: u16::from_wire(row.try_get("attempt")?)?,
        status,
        reason: row.try_get("reason")?,
    }))
}

/// Devices that are under way in a deployment though their update no longer waits for the image: it has ended, it is being cancelled, or it is
/// at another attempt. At most `limit`.
pub async fn withdrawn(db: &Db, limit: usize) -> Result<Vec<(TenantId, FuotaDeploymentId, DeviceId)>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT x.tenant, x.deployment_id, x.device_id
         FROM fuota_deployments p
         JOIN fuota_devices x ON x.tenant = p.tenant AND x.deployment_id = p.deployment_id AND x.outcome IS NULL
         JOIN updates u ON u.tenant = x.tenant AND u.device_id = x.device_id AND u.ordinal = x.ordinal
         WHERE p.removed_at IS NULL
           AND (NOT u.open OR u.attempt <> x.attempt OR u.phase IN ('queued', 'waiting', 'cancelling')) LIMIT $1",
    )
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter()
        .map(|row| {
            let id = FuotaDeploymentId(uuid(row.try_get("deployment_id")?)?);
            Ok((parse(row.try_get("tenant")?)?, id, parse(row.try_get("device_id")?)?))
        })
        .collect()
}

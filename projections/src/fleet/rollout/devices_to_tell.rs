//! The devices of a campaign that process managers send a command: grants that aren't answered, commands to withdraw, updates to cancel.

use domain::device::FirmwareSnapshot;
use domain::ledger::SlotGrant;
use domain::{CampaignId, DeviceId, TenantId};
use sqlx::Row as _;

use super::rollback_view;
use super::rows::slot_of;
use crate::db::{Db, DbError};
use crate::row::parse;

const OF_PLAN: &str = "
FROM rollout_members m
JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
WHERE m.tenant = $1 AND m.campaign_id = $2";

/// A slot that was granted and that the device hasn't answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Unseen {
    pub slot: SlotGrant,
    /// Number of the grant.
    pub number: u64,
    /// To go back, to this firmware.
    pub back_to: Option<FirmwareSnapshot>,
}

/// Slots that were granted and that the device hasn't answered. A slot of a member whose update has ended is for its rollback.
pub async fn granted_unseen(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    limit: usize,
) -> Result<Vec<Unseen>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = format!(
        "SELECT m.device_id, m.wave, m.rank, m.grant_number, CASE WHEN m.outcome IS NOT NULL THEN
           (SELECT u.from_version FROM updates u WHERE u.tenant = m.tenant AND u.device_id = m.device_id AND u.ordinal = m.ordinal)
         END AS back_to {OF_PLAN} AND m.holds_slot AND NOT m.grant_seen ORDER BY m.rank LIMIT {limit}"
    );
    let rows = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string()).fetch_all(&mut *tx.0).await?;
    let mut unseen = Vec::with_capacity(rows.len());
    let mut library = None;
    for row in &rows {
        let back_to: Option<String> = row.try_get("back_to")?;
        if back_to.is_some() && library.is_none() {
            library = rollback_view::library_of(&mut tx, tenant, campaign).await?;
        }
        unseen.push(Unseen {
            slot: slot_of(row)?,
            number: row.try_get::<i64, _>("grant_number")? as u64,
            back_to: back_to.and_then(|version| library.as_ref().and_then(|library| library.snapshot(&version))),
        });
    }
    Ok(unseen)
}

/// Devices that haven't answered their command, or that are between two attempts.
pub async fn withdrawable(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    devices_where(
        db,
        tenant,
        campaign,
        "(u.phase = 'dispatched' OR (u.phase = 'waiting' AND u.wait_reason = 'backoff'))",
        limit,
    )
    .await
}

/// What a campaign takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// It is cancelled.
    Everything,
    /// It is rolled back: rollbacks go on.
    AllButRollbacks,
}

impl TakenBack {
    fn condition(self) -> &'static str {
        match self {
            Self::Everything => "true",
            Self::AllButRollbacks => "u.kind <> 'rollback'",
        }
    }
}

/// Has begun, and is before the point of no return.
const CANCELLABLE: &str =
    "u.phase IN ('queued', 'waiting', 'dispatched', 'accepted', 'deferred', 'downloading', 'verifying', 'staged')";

/// Devices whose update, or rollback, can still be taken back or cancelled and that haven't refused it.
pub async fn cancellable(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    what: TakenBack,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    let condition = format!("{CANCELLABLE} AND NOT u.cancel_refused AND {}", what.condition());
    devices_where(db, tenant, campaign, &condition, limit).await
}

/// Whether an update that was to be cancelled is still under way, also after the device refused.
pub async fn has_uncancelled(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    what: TakenBack,
) -> Result<bool, DbError> {
    let condition = format!("{CANCELLABLE} AND {}", what.condition());
    Ok(!devices_where(db, tenant, campaign, &condition, 1).await?.is_empty())
}

async fn devices_where(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    condition: &str,
    limit: usize,
) -> Result<Vec<DeviceId>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = format!(
        "SELECT m.device_id FROM updates u
         JOIN rollout_members m ON m.tenant = u.tenant AND m.device_id = u.device_id
           AND (m.ordinal = u.ordinal OR m.rollback_ordinal = u.ordinal)
         JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
         WHERE u.tenant = $1 AND u.campaign_id = $2 AND u.open AND m.campaign_id = $2 AND m.before_retry IS NULL AND {condition}
         ORDER BY m.rank LIMIT {limit}"
    );
    let ids: Vec<String> =
        sqlx::query_scalar(&sql).bind(tenant.as_str()).bind(campaign.to_string()).fetch_all(&mut *tx.0).await?;
    ids.into_iter().map(parse).collect()
}

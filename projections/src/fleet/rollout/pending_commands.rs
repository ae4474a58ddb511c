//! The devices of a campaign to which process managers send a command: for unanswered grants, commands to withdraw, and updates to cancel.

use chrono::{DateTime, Utc};
use domain::device::FirmwareSnapshot;
use domain::ledger::SlotGrant;
use domain::{CampaignId, DeviceId, TenantId};
use sqlx::Row as _;

use super::release::{self, Release};
use super::rollback_targets::{Former, RollbackTargets};
use super::rows::{CampaignRow, slot_of};
use crate::db::{Db, DbError};
use crate::row::{ColumnValue as _, parse};

/// A slot that was granted and that the device hasn't answered.
#[derive(Debug, Clone, PartialEq)]
pub struct UnansweredGrant {
    pub slot: SlotGrant,
    /// Number of the grant.
    pub number: u64,
    /// For a rollback: the firmware to go back to.
    pub back_to: Option<FirmwareSnapshot>,
}

/// Which unanswered slots to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    All,
    /// Those whose device may begin at this time, by the maintenance windows of the campaign.
    MayBegin(DateTime<Utc>),
    /// Those of devices that haven't begun. In a campaign that is over, sending them again lets their updates expire.
    NotReached,
}

/// Slots that were granted and that the device hasn't answered. A slot of a member whose update has ended is for its rollback.
pub async fn unanswered_grants(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    which: Unanswered,
    limit: usize,
) -> Result<Vec<UnansweredGrant>, DbError> {
    let mut tx = db.read_all().await?;
    let Some(row) = CampaignRow::find(&mut tx, tenant, campaign).await? else { return Ok(vec![]) };
    let released = match which {
        Unanswered::All | Unanswered::NotReached => Release::All,
        Unanswered::MayBegin(now) => {
            let zones = release::zones(&mut tx, &row).await?;
            Release::of(&row.spec.maintenance_window, &zones, now)
        }
    };
    let condition = match (which, &released) {
        (_, Release::Nobody) => return Ok(vec![]),
        (Unanswered::NotReached, _) => "AND NOT m.reached",
        (_, Release::All) => "",
        (_, Release::Zones(_)) => "AND m.zone = ANY ($3)",
    };
    let sql = format!(
        "SELECT m.device_id, m.wave, m.rank, m.lorawan, m.grant_number, m.outcome IS NOT NULL AS goes_back,
           u.from_version, u.from_firmware_id
         FROM rollout_members m
         JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
         LEFT JOIN updates u ON u.tenant = m.tenant AND u.device_id = m.device_id AND u.ordinal = m.ordinal
         WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.holds_slot AND NOT m.grant_seen {condition}
         ORDER BY m.rank LIMIT {limit}"
    );
    let query = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string());
    let rows = released.bind(query).fetch_all(&mut *tx.0).await?;
    let mut unseen = Vec::with_capacity(rows.len());
    let mut targets = None;
    for found in &rows {
        let former =
            Former { version: found.try_get("from_version")?, firmware_id: found.try_get("from_firmware_id")? };
        let goes_back: bool = found.try_get("goes_back")?;
        if goes_back && targets.is_none() {
            targets = RollbackTargets::of(&mut tx, &row).await?;
        }
        let back_to = targets.as_ref().filter(|_| goes_back).and_then(|targets| targets.snapshot(&former));
        // Without the firmware there is nothing to send.
        if goes_back && back_to.is_none() {
            continue;
        }
        let number = u64::from_wire(found.try_get("grant_number")?)?;
        unseen.push(UnansweredGrant { slot: slot_of(found)?, number, back_to });
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
        "(u.phase IN ('dispatched', 'activating') OR (u.phase = 'waiting' AND u.wait_reason = 'backoff'))",
        limit,
    )
    .await
}

/// Which updates a campaign cancels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelScope {
    /// It is cancelled.
    Everything,
    /// It is rolled back: rollbacks go on.
    AllButRollbacks,
    /// It is over: updates at work go on; staged, deferred and waiting ones are cancelled.
    Staged,
}

impl CancelScope {
    fn condition(self) -> &'static str {
        match self {
            Self::Everything => "true",
            Self::AllButRollbacks => "u.kind <> 'rollback'",
            Self::Staged => "(u.phase IN ('staged', 'deferred') OR (u.phase = 'waiting' AND m.reached))",
        }
    }
}

/// Has begun, and is before the point of no return.
const CANCELLABLE: &str = "u.phase IN ('queued', 'waiting', 'dispatched', 'accepted', 'deferred', 'downloading', 'verifying', 'staged', 'activating')";

/// Devices whose update, or rollback, can still be taken back or cancelled and that haven't refused it.
pub async fn cancellable(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    what: CancelScope,
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
    what: CancelScope,
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

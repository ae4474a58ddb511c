//! A campaign's rollback as the policy sees it: which devices have yet to go back, which of them could begin now, and which can't.
//!
//! What a device goes back to is the firmware of the version that it ran when its update was queued. It is looked up each time: a firmware
//! that is uploaded during a rollback makes it possible for the devices that came from it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::campaign::EVIDENCE_DEVICES_MAX;
use domain::device::{FirmwareSnapshot, PendingUpdate};
use domain::ledger::SlotGrant;
use domain::rollout::{Counts, RollbackView};
use domain::{CampaignId, DeviceId, TenantId};
use sqlx::Row as _;

use super::rows::{CampaignRow, ProgressRow};
use crate::db::{Db, DbError, ReadTx};
use crate::fleet::device_now::DeviceNow;
use crate::fleet::rollbacks::Library;
use crate::fleet::updates::UpdateRow;
use crate::row::{Row as _, parse};

/// Online devices without an update under way that are looked at; a larger number changes no decision.
const CANDIDATES_MAX: i64 = 1_000;

/// Members of a plan without a slot, with the update that is to be undone.
const MEMBERS: &str = "
FROM rollout_members m
JOIN updates u ON u.tenant = m.tenant AND u.device_id = m.device_id AND u.ordinal = m.ordinal";
const OF_PLAN: &str = "WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3 AND NOT m.holds_slot";
/// They run the campaign's version because of it, and have no rollback in the round `$4`: [`super::rows::MemberRow::goes_back`].
const YET_TO_GO_BACK: &str =
    "(((m.outcome = 'confirmed' AND m.regressed_at IS NULL) OR (m.outcome IS NOT NULL AND m.late_confirmed))
  AND m.rollback_round IS DISTINCT FROM $4 AND m.rollback_outcome IS DISTINCT FROM 'confirmed')";
/// Their rollback `r` has begun and waits, for example because the device left.
const WAITS: &str = "(m.rollback_round = $4 AND m.rollback_outcome IS NULL AND r.open AND r.phase = 'waiting')";

/// A device that may be granted a slot to go back.
#[derive(Debug, Clone, PartialEq)]
pub struct Return {
    pub slot: SlotGrant,
    /// What it goes back to.
    pub firmware: FirmwareSnapshot,
}

/// A campaign in its rollback.
struct Rollback<'r> {
    row: &'r CampaignRow,
    round: i64,
    library: Library,
}

impl<'r> Rollback<'r> {
    /// None unless the campaign is rolled back now.
    async fn of(tx: &mut ReadTx, row: &'r CampaignRow) -> Result<Option<Self>, DbError> {
        let (Some(round), Some(firmware)) = (row.rollback_round(), &row.firmware) else { return Ok(None) };
        let library = Library::read(tx, &row.tenant, &firmware.device_model, &firmware.component).await?;
        Ok(Some(Self { row, round: round.into(), library }))
    }

    /// Devices that have yet to go back, by the version that they came from.
    async fn versions_to_go_back_to(&self, tx: &mut ReadTx) -> Result<Vec<(Option<String>, u32)>, DbError> {
        let sql = format!("SELECT u.from_version, count(*) {MEMBERS} {OF_PLAN} AND {YET_TO_GO_BACK} GROUP BY 1");
        let rows = sqlx::query(&sql)
            .bind(&self.row.tenant)
            .bind(&self.row.campaign_id)
            .bind(&self.row.plan)
            .bind(self.round)
            .fetch_all(&mut *tx.0)
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? as u32))).collect()
    }

    /// The first devices that could begin now, in the campaign's order.
    async fn ready(&self, tx: &mut ReadTx, now: DateTime<Utc>, limit: usize) -> Result<Vec<Return>, DbError> {
        let versions = self.versions_to_go_back_to(tx).await?;
        let possible: Vec<String> = versions
            .into_iter()
            .filter_map(|(version, _)| version.filter(|version| self.library.target(version).is_ok()))
            .collect();
        let (device, update) = (DeviceNow::columns(), UpdateRow::columns_of("r"));
        let sql = format!(
            "SELECT m.device_id, m.wave, m.rank, u.from_version, r.ordinal IS NOT NULL, {device}, {update} {MEMBERS}
             LEFT JOIN updates r ON r.tenant = m.tenant AND r.device_id = m.device_id AND r.ordinal = m.rollback_ordinal
             {} {OF_PLAN} AND d.status = 'online' AND d.live_ordinal IS NULL
             AND (({YET_TO_GO_BACK} AND u.from_version = ANY($5)) OR {WAITS})
             ORDER BY m.wave, m.rank LIMIT {CANDIDATES_MAX}",
            DeviceNow::join("m")
        );
        let rows = sqlx::query(&sql)
            .bind(&self.row.tenant)
            .bind(&self.row.campaign_id)
            .bind(&self.row.plan)
            .bind(self.round)
            .bind(possible)
            .fetch_all(&mut *tx.0)
            .await?;
        let new = PendingUpdate { ordinal: None, waits_for: None, not_before: None, goes_first: true };
        let mut ready = Vec::new();
        for row in rows {
            let Some(device) = DeviceNow::read(&row, 5)? else { continue };
            let version: String = row.try_get(3)?;
            let waiting =
                if row.try_get(4)? { Some(UpdateRow::read_from(&row, 5 + DeviceNow::COLUMNS.len())?) } else { None };
            let waiting = waiting.filter(|update| update.timed.phase().is_waiting());
            let pending = waiting.as_ref().map_or(new, UpdateRow::pending_update);
            let is_ready = device.availability().readiness(&pending).is_now(now);
            if let Some(firmware) = self.library.snapshot(&version).filter(|_| is_ready) {
                // By index: the rollback's columns have the same names.
                let slot = SlotGrant {
                    device: parse(row.try_get(0)?)?,
                    wave: row.try_get::<i64, _>(1)? as u16,
                    rank: row.try_get::<i64, _>(2)? as u32,
                };
                ready.push(Return { slot, firmware });
            }
            if ready.len() == limit {
                break;
            }
        }
        Ok(ready)
    }

    async fn failed_devices(&self, tx: &mut ReadTx) -> Result<Vec<DeviceId>, DbError> {
        let sql = format!(
            "SELECT device_id FROM rollout_members m
             WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3
               AND m.rollback_outcome IN ('failed', 'timed_out', 'rejected')
             ORDER BY m.device_id LIMIT {EVIDENCE_DEVICES_MAX}"
        );
        let ids: Vec<String> = sqlx::query_scalar(&sql)
            .bind(&self.row.tenant)
            .bind(&self.row.campaign_id)
            .bind(&self.row.plan)
            .fetch_all(&mut *tx.0)
            .await?;
        ids.into_iter().map(parse).collect()
    }
}

/// The rollback of a campaign; none unless it is rolled back now.
pub(super) async fn view(
    tx: &mut ReadTx,
    row: &CampaignRow,
    waves: &[ProgressRow],
    now: DateTime<Utc>,
) -> Result<Option<RollbackView>, DbError> {
    let (Some(rollback), Some(begun)) = (Rollback::of(tx, row).await?, &row.rollback) else { return Ok(None) };
    let (mut waiting, mut impossible) = (0, BTreeMap::new());
    for (version, devices) in rollback.versions_to_go_back_to(tx).await? {
        match rollback.library.obstacle(version.as_deref()) {
            None => waiting += devices,
            Some(obstacle) => *impossible.entry(obstacle).or_insert(0) += devices,
        }
    }
    let total = waves.iter().map(|wave| wave.counts).fold(Counts::default(), Counts::plus);
    let failed_devices = if total.rollback_failed > 0 { rollback.failed_devices(tx).await? } else { vec![] };
    let some_left = waiting > 0 || total.rolling_back > 0;
    let ready = if some_left { rollback.ready(tx, now, CANDIDATES_MAX as usize).await?.len() as u32 } else { 0 };
    Ok(Some(RollbackView {
        since: begun.since,
        ready,
        waiting,
        under_way: total.rolling_back,
        rolled_back: total.rolled_back,
        failed: total.rollback_failed,
        impossible,
        accepted_failed: begun.accepted_failed,
        accepted_settled: begun.accepted_settled,
        failed_devices,
    }))
}

/// The next devices that may be granted a slot to go back, in the campaign's order.
pub async fn returning(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<Return>, DbError> {
    let mut tx = db.read_all().await?;
    let Some(row) = CampaignRow::find(&mut tx, tenant, campaign).await? else { return Ok(vec![]) };
    match Rollback::of(&mut tx, &row).await? {
        Some(rollback) => rollback.ready(&mut tx, now, limit).await,
        None => Ok(vec![]),
    }
}

/// Where the rollback of a campaign finds its firmware.
pub(super) async fn library_of(
    tx: &mut ReadTx,
    tenant: &TenantId,
    campaign: &CampaignId,
) -> Result<Option<Library>, DbError> {
    let Some(row) = CampaignRow::find(tx, tenant, campaign).await? else { return Ok(None) };
    let Some(firmware) = &row.firmware else { return Ok(None) };
    Library::read(tx, &row.tenant, &firmware.device_model, &firmware.component).await.map(Some)
}

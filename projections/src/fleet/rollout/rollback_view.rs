//! A campaign's rollback as the policy sees it: which devices have yet to go back, which of them could begin now, and which can't.

use chrono::{DateTime, Utc};
use domain::campaign::EVIDENCE_DEVICES_MAX;
use domain::device::{FirmwareSnapshot, Outcome, PendingUpdate};
use domain::ledger::SlotGrant;
use domain::per_transport::PerTransport;
use domain::rollback::RollbackObstacle;
use domain::rollout::RollbackView;
use domain::{CampaignId, DeviceId, TenantId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::member_state::FAILED;
use super::predicates::{goes_back, rollback_failed};
use super::rollback_targets::{Former, RollbackTargets};
use super::rows::CampaignRow;
use super::transports;
use crate::db::{Db, DbError, ReadTx};
use crate::fleet::device_now::DeviceNow;
use crate::fleet::updates::UpdateRow;
use crate::row::{ColumnValue as _, Row as _, parse};
use crate::sql::is_held;

/// Devices that could begin are counted up to here: a larger number changes no decision.
const READY_COUNTED_MAX: usize = 1_000;
/// Reason of an update that ended because its firmware was withdrawn.
const FIRMWARE_WITHDRAWN: &str = "firmware_withdrawn";

/// Members of a plan without a slot, with the update that is to be undone and their device. `$4` is the round.
const MEMBERS: &str = "
FROM rollout_members m
JOIN updates u ON u.tenant = m.tenant AND u.device_id = m.device_id AND u.ordinal = m.ordinal
JOIN devices d ON d.tenant = m.tenant AND d.device_id = m.device_id";
const OF_PLAN: &str = "WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3";
/// Their rollback `r` has begun and waits, for example because the device left.
const WAITS: &str = "(m.rollback_round = $4 AND m.rollback_outcome IS NULL AND r.open AND r.phase = 'waiting')";

/// A device that may be granted a slot to go back.
#[derive(Debug, Clone, PartialEq)]
pub struct Returning {
    pub slot: SlotGrant,
    /// What it goes back to.
    pub firmware: FirmwareSnapshot,
}

/// Devices that have yet to go back, by what they ran before. Decommissioned ones stay as they are.
struct YetToGoBack(Vec<(Former, bool, u32)>);

/// A campaign in its rollback.
struct Rollback<'r> {
    row: &'r CampaignRow,
    targets: RollbackTargets,
}

impl<'r> Rollback<'r> {
    /// None unless the campaign is rolled back now.
    async fn of(tx: &mut ReadTx, row: &'r CampaignRow) -> Result<Option<Self>, DbError> {
        if !row.is_rolling_back() {
            return Ok(None);
        }
        Ok(RollbackTargets::of(tx, row).await?.map(|targets| Self { row, targets }))
    }

    /// Rows of a query whose first parameters are the campaign's plan and round.
    async fn rows(&self, tx: &mut ReadTx, sql: &str, others: &[Vec<String>]) -> Result<Vec<PgRow>, DbError> {
        let row = self.row;
        let query = sqlx::query(sql).bind(&row.tenant).bind(&row.campaign_id).bind(&row.plan);
        let query = others.iter().fold(query.bind(i64::from(self.targets.round)), |query, other| query.bind(other));
        Ok(query.fetch_all(&mut *tx.0).await?)
    }

    async fn yet_to_go_back(&self, tx: &mut ReadTx) -> Result<YetToGoBack, DbError> {
        let sql = format!(
            "SELECT u.from_version, u.from_firmware_id, d.lifecycle = 'decommissioned', count(*) {MEMBERS} {OF_PLAN}
             AND NOT m.holds_slot AND {} GROUP BY 1, 2, 3",
            goes_back("$4")
        );
        let read = |row: &PgRow| {
            let former = Former { version: row.try_get(0)?, firmware_id: row.try_get(1)? };
            Ok((former, row.try_get(2)?, u32::from_wire(row.try_get(3)?)?))
        };
        let rows = self.rows(tx, &sql, &[]).await?;
        rows.iter().map(read).collect::<Result<_, DbError>>().map(YetToGoBack)
    }

    /// The first devices that could begin now, in the campaign's order.
    async fn ready(
        &self,
        tx: &mut ReadTx,
        yet: &YetToGoBack,
        now: DateTime<Utc>,
        limits: PerTransport<usize>,
    ) -> Result<Vec<Returning>, DbError> {
        let mut all = Vec::new();
        for (condition, limit) in transports::each(tx, self.row, limits).await? {
            all.extend(self.ready_of_transport(tx, yet, now, condition, limit).await?);
        }
        all.sort_by_key(|returning| (returning.slot.wave, returning.slot.rank));
        Ok(all)
    }

    async fn ready_of_transport(
        &self,
        tx: &mut ReadTx,
        yet: &YetToGoBack,
        now: DateTime<Utc>,
        transport: &str,
        limit: usize,
    ) -> Result<Vec<Returning>, DbError> {
        let possible = yet.0.iter().map(|(former, ..)| former).filter(|former| self.targets.obstacle(former).is_none());
        let possible: Vec<String> = possible.filter_map(|former| former.version.clone()).collect();
        let (device, update, held) = (DeviceNow::columns(), UpdateRow::columns_of("r"), is_held("now()"));
        let sql = format!(
            "SELECT m.device_id, m.wave, m.rank, u.from_version, u.from_firmware_id, r.ordinal IS NOT NULL, m.lorawan, {device}, {update}
             {MEMBERS}
             LEFT JOIN device_presence p ON p.tenant = m.tenant AND p.device_id = m.device_id
             LEFT JOIN updates r ON r.tenant = m.tenant AND r.device_id = m.device_id AND r.ordinal = m.rollback_ordinal
             {OF_PLAN} {transport} AND NOT m.holds_slot AND d.status = 'online' AND d.live_ordinal IS NULL AND NOT {held}
             AND (({} AND u.from_version = ANY($5)) OR {WAITS})
             ORDER BY m.wave, m.rank LIMIT {limit}",
            goes_back("$4")
        );
        let new = PendingUpdate { ordinal: None, waits_for: None, not_before: None, goes_first: true };
        let mut ready = Vec::new();
        for row in self.rows(tx, &sql, &[possible]).await? {
            let Some(device) = DeviceNow::read(&row, 7)? else { continue };
            let former = Former { version: row.try_get(3)?, firmware_id: row.try_get(4)? };
            let first = 7 + DeviceNow::COLUMNS.len();
            let begun = if row.try_get(5)? { Some(UpdateRow::read_from(&row, first)?) } else { None };
            let begun = begun.filter(|update| update.timed.phase().is_waiting());
            let pending = begun.as_ref().map_or(new, UpdateRow::pending_update);
            if !device.availability().readiness(&pending).is_now(now) {
                continue;
            }
            // By index: the columns of the rollback have the same names.
            let slot = SlotGrant {
                device: parse(row.try_get(0)?)?,
                wave: u16::from_wire(row.try_get(1)?)?,
                rank: u32::from_wire(row.try_get(2)?)?,
                lorawan: row.try_get(6)?,
            };
            ready.extend(self.targets.snapshot(&former).map(|firmware| Returning { slot, firmware }));
        }
        Ok(ready)
    }

    /// Counts the rollbacks of this round.
    async fn count(&self, tx: &mut ReadTx, view: &mut RollbackView) -> Result<(), DbError> {
        let sql = format!(
            "SELECT m.rollback_outcome, m.rollback_accepted,
               CASE WHEN m.rollback_outcome = 'superseded' THEN r.reason END, count(*)
             FROM rollout_members m
             JOIN updates r ON r.tenant = m.tenant AND r.device_id = m.device_id AND r.ordinal = m.rollback_ordinal
             {OF_PLAN} AND m.rollback_ordinal IS NOT NULL AND m.rollback_round = $4 GROUP BY 1, 2, 3"
        );
        for row in self.rows(tx, &sql, &[]).await? {
            let outcome: Option<Outcome> = Option::from_wire(row.try_get(0)?)?;
            let (accepted, reason): (bool, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
            let devices = u32::from_wire(row.try_get(3)?)?;
            let accepted = if accepted { devices } else { 0 };
            match outcome {
                None => view.under_way += devices,
                Some(Outcome::Confirmed) => {
                    view.rolled_back += devices;
                    view.accepted_rolled_back += accepted;
                }
                Some(outcome) if FAILED.contains(&outcome) => {
                    view.failed += devices;
                    view.accepted_failed += accepted;
                }
                Some(Outcome::Superseded) if reason.as_deref() == Some(FIRMWARE_WITHDRAWN) => {
                    *view.impossible.entry(RollbackObstacle::FirmwareWithdrawn).or_insert(0) += devices;
                }
                // It runs another version by now, so there is nothing to undo.
                Some(Outcome::Superseded) => {}
                Some(_) => view.given_up += devices,
            }
        }
        Ok(())
    }

    async fn failed_devices(&self, tx: &mut ReadTx) -> Result<Vec<DeviceId>, DbError> {
        let sql = format!(
            "SELECT m.device_id FROM rollout_members m {OF_PLAN} AND m.rollback_ordinal IS NOT NULL
             AND m.rollback_round = $4 AND NOT m.rollback_accepted AND {}
             ORDER BY m.wave, m.rank, m.device_id LIMIT {EVIDENCE_DEVICES_MAX}",
            rollback_failed()
        );
        self.rows(tx, &sql, &[]).await?.iter().map(|row| parse(row.try_get(0)?)).collect()
    }
}

/// The rollback of a campaign; none unless it is rolled back now.
pub(super) async fn view(
    tx: &mut ReadTx,
    row: &CampaignRow,
    now: DateTime<Utc>,
) -> Result<Option<RollbackView>, DbError> {
    let (Some(rollback), Some(begun)) = (Rollback::of(tx, row).await?, &row.rollback) else { return Ok(None) };
    let mut view = RollbackView { since: begun.since, ..RollbackView::default() };
    rollback.count(tx, &mut view).await?;
    let yet = rollback.yet_to_go_back(tx).await?;
    for (former, decommissioned, devices) in &yet.0 {
        let obstacle =
            if *decommissioned { Some(RollbackObstacle::Decommissioned) } else { rollback.targets.obstacle(former) };
        match obstacle {
            None => view.waiting += devices,
            Some(obstacle) => *view.impossible.entry(obstacle).or_insert(0) += devices,
        }
    }
    if view.waiting > 0 || view.under_way > 0 {
        let limits = PerTransport { mqtt: READY_COUNTED_MAX, lorawan: READY_COUNTED_MAX };
        for returning in rollback.ready(tx, &yet, now, limits).await? {
            *view.ready.of_mut(returning.slot.transport()) += 1;
        }
    }
    if view.failed > view.accepted_failed {
        view.failed_devices = rollback.failed_devices(tx).await?;
    }
    Ok(Some(view))
}

/// The next devices that may be granted a slot to go back, in the campaign's order.
pub async fn returning(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
    limits: impl Into<PerTransport<usize>>,
) -> Result<Vec<Returning>, DbError> {
    let mut tx = db.read_all().await?;
    let Some(row) = CampaignRow::find(&mut tx, tenant, campaign).await? else { return Ok(vec![]) };
    let Some(rollback) = Rollback::of(&mut tx, &row).await? else { return Ok(vec![]) };
    let yet = rollback.yet_to_go_back(&mut tx).await?;
    rollback.ready(&mut tx, &yet, now, limits.into()).await
}

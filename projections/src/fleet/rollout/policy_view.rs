//! The queries of process managers on the rollout read model; and the counts, which operators read, too.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::campaign::{CampaignSpec, CampaignStatus};
use domain::device::FirmwareSnapshot;
use domain::per_transport::PerTransport;
use domain::rollout::{Counts, KeptBack, RolloutView};
use domain::{CampaignId, TenantId};
use event_store::RecordRef;
use uuid::Uuid;

use super::ready_members::{Purpose, ready_per_wave};
use super::release::{self, Release};
use super::rows::{CampaignRollback, CampaignRow, progress};
use super::{evidence, rollback_view};
use crate::db::{Db, DbError, ReadTx};
use crate::fleet::{signatures, tenants};
use crate::row::{Row as _, parse, word};

/// A campaign that process managers work on.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkRow {
    pub tenant: TenantId,
    pub campaign: CampaignId,
    pub status: CampaignStatus,
    pub plan: Option<Uuid>,
    pub firmware: Option<FirmwareSnapshot>,
    pub spec: CampaignSpec,
    /// Its firmware is still pinned.
    pub pinned: bool,
    /// Position at which planning began.
    pub planning_position: u64,
}

/// A campaign as the policy sees it, in one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub rollout: RolloutView,
    /// Version of the campaign that the view has reached.
    pub campaign_version: u64,
    /// Position of the campaign's own last record.
    pub campaign_position: u64,
    /// How often the campaign was retried or rolled back.
    pub retry_round: u16,
    /// The round of updates: of a campaign that is rolled back, the one before its rollbacks.
    pub update_round: u16,
    pub ledger_version: u64,
    pub firmware: FirmwareSnapshot,
    /// When the clocks of each wave's devices began.
    pub waits_from: Vec<Option<DateTime<Utc>>>,
    /// The records that last changed the outcomes and the failures of each wave.
    pub changed_by: Vec<(Option<RecordRef>, Option<RecordRef>)>,
}

impl View {
    /// The record that last changed a wave's outcomes.
    pub fn outcome_of(&self, wave: u16) -> Option<RecordRef> {
        self.changed_by.get(usize::from(wave).checked_sub(1)?)?.0
    }

    /// The record that last changed the outcomes of any wave.
    pub fn last_outcome(&self) -> Option<RecordRef> {
        self.changed_by.iter().filter_map(|(outcome, _)| *outcome).max_by_key(|record| record.position)
    }

    /// The record that last changed the failures of any wave.
    pub fn last_failure(&self) -> Option<RecordRef> {
        self.changed_by.iter().filter_map(|(_, failure)| *failure).max_by_key(|record| record.position)
    }
}

/// Place of a campaign in the order of work: the most urgent first.
const URGENCY: &str = "array_position(ARRAY['critical', 'high', 'normal', 'low'], t.spec->>'priority')";

/// Campaigns under way, and ended ones that still pin their firmware: a page of at most `limit` after
/// `after`, the most urgent first. Others that pin their firmware aren't returned: they are about to start, or they are scheduled
/// ([`crate::schedule`]).
pub async fn at_work(db: &Db, after: Option<&WorkRow>, limit: usize) -> Result<Vec<WorkRow>, DbError> {
    let mut tx = db.read_all().await?;
    let columns = CampaignRow::columns_of("t");
    let sql = format!(
        "SELECT {columns} FROM rollout_campaigns t
         WHERE (at_work OR pinned) AND status NOT IN ('draft', 'awaiting_approval', 'approved', 'rejected', 'scheduled')
           AND ($2::text IS NULL OR ({URGENCY}, t.tenant, t.campaign_id) >
                (array_position(ARRAY['critical', 'high', 'normal', 'low'], $2), $3, $4))
         ORDER BY {URGENCY}, t.tenant, t.campaign_id LIMIT $1"
    );
    let rows = sqlx::query(&sql)
        .bind(limit as i64)
        .bind(after.map(|row| word(&row.spec.priority)))
        .bind(after.map(|row| row.tenant.to_string()))
        .bind(after.map(|row| row.campaign.to_string()))
        .fetch_all(&mut *tx.0)
        .await?;
    rows.iter()
        .map(|row| {
            let row = CampaignRow::read(row)?;
            Ok(WorkRow {
                tenant: parse(row.tenant)?,
                campaign: CampaignId(uuid(&row.campaign_id)?),
                status: row.status,
                plan: row.plan.as_deref().map(uuid).transpose()?,
                firmware: row.firmware,
                spec: row.spec,
                pinned: row.pinned,
                planning_position: row.planning_position,
            })
        })
        .collect()
}

fn uuid(text: &str) -> Result<Uuid, DbError> {
    text.parse().map_err(|_| DbError::Invalid(format!("{text:?} is no UUID")))
}

/// The policy's view of a campaign whose planning has begun, to decide on. Without a plan it has no waves, and it can be cancelled.
pub async fn view(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
) -> Result<Option<View>, DbError> {
    view_for(Purpose::Decide, &mut db.read_all().await?, tenant, campaign, now).await
}

/// The same to show it, within a snapshot that the caller also reads from.
pub async fn view_in(
    tx: &mut ReadTx,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
) -> Result<Option<View>, DbError> {
    view_for(Purpose::Show, tx, tenant, campaign, now).await
}

async fn view_for(
    purpose: Purpose,
    tx: &mut ReadTx,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
) -> Result<Option<View>, DbError> {
    let Some(row) = CampaignRow::find(tx, tenant, campaign).await? else { return Ok(None) };
    let Some(firmware) = &row.firmware else { return Ok(None) };
    let firmware = signatures::judged(tx, tenant, firmware).await?;
    let position: i64 = sqlx::query_scalar("SELECT position FROM projection_checkpoints WHERE name = $1")
        .bind(crate::FLEET)
        .fetch_one(&mut *tx.0)
        .await?;
    let waves = progress(tx, tenant, campaign).await?;
    let zones = release::zones(tx, &row).await?;
    let windows = &row.spec.maintenance_window;
    let ready = ready_per_wave(purpose, tx, &row, &waves, now, &Release::of(windows, &zones, now)).await?;
    // Also those that wait for their window alone.
    let all = match windows.is_empty() {
        true => ready.clone(),
        false => ready_per_wave(purpose, tx, &row, &waves, now, &Release::All).await?,
    };
    let of_wave = |counts: &HashMap<u16, PerTransport<u32>>, wave: u16| counts.get(&wave).copied().unwrap_or_default();
    let looked_up = |wave: u16| {
        let (now, later) = (of_wave(&ready, wave), of_wave(&all, wave));
        (now, later.sum().saturating_sub(now.sum()))
    };
    let failed_devices = evidence::failed_devices(tx, &row).await?;
    let rollback = rollback_view::view(tx, &row, now).await?;
    // Staging counts from the start of the first wave's clocks.
    let opened = waves.get(usize::from(row.wave.max(1)) - 1).and_then(|wave| wave.waits_from);
    let update_round = row.update_round();
    let (lets_dispatch, released_at) = tenants::lets_dispatch(tx, tenant).await?;
    let kept_back = match lets_dispatch {
        false => Some(KeptBack::Freeze),
        // What devices go back to is another firmware, which is judged with each grant.
        true => firmware.lack.filter(|_| row.status != CampaignStatus::RollingBack).map(KeptBack::Firmware),
    };
    let rollout = RolloutView {
        status: row.status,
        position: position as u64,
        wave: row.wave,
        wave_opened_at: opened,
        soaking_since: row.soaking_since,
        wave_completed: row.wave_completed,
        accepted: row.accepted,
        waves: waves
            .iter()
            .map(|wave| {
                let (ready, closed) = looked_up(wave.wave);
                Counts { ready: ready.sum(), lorawan_ready: ready.lorawan, closed, ..wave.counts }
            })
            .collect(),
        paced_until: row.paced_until(),
        ends_at: row.ends_at,
        failed_devices,
        rollback,
        zones,
        kept_back,
        released_at,
        spec: row.spec,
    };
    let waits_from = waves.iter().map(|wave| wave.waits_from).collect();
    let changed_by = waves.iter().map(|wave| (wave.last_outcome, wave.last_failure)).collect();
    Ok(Some(View {
        rollout,
        campaign_version: row.version,
        campaign_position: row.position,
        retry_round: row.retry_round,
        update_round,
        ledger_version: row.ledger_version,
        firmware,
        waits_from,
        changed_by,
    }))
}

/// The latest rollback of a campaign, also after it has ended.
pub async fn rollback(
    tx: &mut ReadTx,
    tenant: &TenantId,
    campaign: &CampaignId,
) -> Result<Option<CampaignRollback>, DbError> {
    Ok(CampaignRow::find(tx, tenant, campaign).await?.and_then(|row| row.rollback))
}

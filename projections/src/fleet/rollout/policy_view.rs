//! The queries of process managers on the rollout read model; and the counts, which operators read, too.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::campaign::{CampaignSpec, CampaignStatus};
use domain::device::FirmwareSnapshot;
use domain::ledger::SlotGrant;
use domain::rollout::{Counts, RolloutView};
use domain::{CampaignId, TenantId};
use event_store::RecordRef;
use sqlx::Row as _;
use uuid::Uuid;

use super::predicates::PLANNED;
use super::release::{self, Release};
use super::rows::{CampaignRollback, CampaignRow, ProgressRow, slot_of};
use super::{evidence, rollback_view};
use crate::db::{Db, DbError, ReadTx};
use crate::fleet::{preconditions, tenants};
use crate::row::{Row as _, parse, word};

/// Devices that could begin are counted up to here for operators, in all open waves together and in the latest one.
const READY_SHOWN_MAX: i64 = 1_000;
/// Decisions need no more of them than there are free slots, but at least as many as this.
const READY_DECIDED_MIN: i64 = 20;

/// What a view is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Gates ask whether any device of the latest wave is ready, and grants whether there is one for each free slot.
    Decide,
    Show,
}

impl Purpose {
    /// How many ready devices are counted.
    fn counted_max(self, row: &CampaignRow, waves: &[ProgressRow]) -> i64 {
        let in_use: u32 = waves.iter().map(|wave| wave.counts.in_use).sum();
        match self {
            Self::Decide => i64::from(row.spec.max_concurrent_updates.saturating_sub(in_use))
                .clamp(READY_DECIDED_MIN, READY_SHOWN_MAX),
            Self::Show => READY_SHOWN_MAX,
        }
    }

    /// Whether the counts of all open waves say enough about the latest one.
    fn is_content(self, counts: &HashMap<u16, u32>, latest: u16) -> bool {
        counts.contains_key(&latest) && (self == Self::Decide || counts.len() == 1)
    }
}

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
    let Some(firmware) = row.firmware.clone() else { return Ok(None) };
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
    let of_wave = |counts: &HashMap<u16, u32>, wave: u16| counts.get(&wave).copied().unwrap_or(0);
    let looked_up = |wave: u16| (of_wave(&ready, wave), of_wave(&all, wave).saturating_sub(of_wave(&ready, wave)));
    let failed_devices = evidence::failed_devices(tx, &row).await?;
    let rollback = rollback_view::view(tx, &row, now).await?;
    // Staging counts from the start of the first wave's clocks.
    let opened = waves.get(usize::from(row.wave.max(1)) - 1).and_then(|wave| wave.waits_from);
    let update_round = row.update_round();
    let (lets_dispatch, released_at) = tenants::lets_dispatch(tx, tenant).await?;
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
                Counts { ready, closed, ..wave.counts }
            })
            .collect(),
        paced_until: row.paced_until,
        ends_at: row.ends_at,
        failed_devices,
        rollback,
        zones,
        frozen: !lets_dispatch,
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

/// Counts of each wave, in order.
pub async fn progress(tx: &mut ReadTx, tenant: &TenantId, campaign: &CampaignId) -> Result<Vec<ProgressRow>, DbError> {
    let columns = ProgressRow::columns_of("t");
    let sql = format!("SELECT {columns} FROM campaign_progress t WHERE tenant = $1 AND campaign_id = $2 ORDER BY wave");
    let rows = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string()).fetch_all(&mut *tx.0).await?;
    rows.iter().map(ProgressRow::read).collect()
}

/// SQL conditions for the members of the committed plan that may get a slot: those of open waves; with blue/green first those of any wave that
/// have yet to stage, then staged ones of open waves. After the campaign's end only members that have begun, and none activates. The campaign's
/// values come from subqueries, so that an index gives the members of each condition in their order.
fn grantable_conditions(spec: &CampaignSpec) -> Vec<String> {
    const NOT_OVER: &str =
        "(SELECT coalesce(ends_at > $3, true) FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2)";
    const OPEN: &str =
        "m.wave BETWEEN 1 AND (SELECT wave FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2)";
    let of_plan = |condition: &str| {
        format!(
            "WHERE m.tenant = $1 AND m.campaign_id = $2
               AND m.plan = (SELECT plan FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2) AND {condition}"
        )
    };
    let begins = |waves: &str| of_plan(&format!("NOT m.staged AND {waves} AND (m.reached OR {NOT_OVER})"));
    match spec.stages() {
        false => vec![begins(OPEN)],
        true => vec![begins("m.wave >= 1"), of_plan(&format!("m.staged AND {OPEN} AND {NOT_OVER}"))],
    }
}
/// Members that wait for nothing, and members whose pause or hold is over ([`super::readiness`]).
const READY: &str = "AND m.ready";
const READY_BY_NOW: &str = "AND m.ready_at <= $3";
/// The latest opening of a wave whose waiting time is over by now.
const LONGEST_AGO: &str = "$3 - make_interval(mins => (spec->>'wait_for_device_minutes')::integer,
             secs => coalesce((spec->>'jitter_seconds')::float8, 0))";
/// Members whose waiting time is over: a slot lets them end. The age of the waves is checked before any member is read.
fn overdue() -> String {
    format!(
        "AND {PLANNED} AND NOT m.reached
     AND EXISTS (SELECT FROM campaign_progress w WHERE w.tenant = $1 AND w.campaign_id = $2 AND w.waits_from <= (
           SELECT {LONGEST_AGO}
           FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2))
     AND m.wave IN (SELECT w.wave FROM campaign_progress w WHERE w.tenant = $1 AND w.campaign_id = $2 AND w.waits_from <= (
           SELECT {LONGEST_AGO}
           FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2))"
    )
}

/// Members whose device meets the campaign's preconditions or is decommissioned.
fn preconditions_met() -> String {
    const OF: &str = "(SELECT spec->'preconditions' FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2)";
    format!(
        "AND ({OF} IS NULL
           OR EXISTS (SELECT FROM device_presence p WHERE p.tenant = m.tenant AND p.device_id = m.device_id AND {})
           OR EXISTS (SELECT FROM devices d WHERE d.tenant = m.tenant AND d.device_id = m.device_id AND d.lifecycle = 'decommissioned'))",
        preconditions::hold(OF)
    )
}

/// Leaves out members whose delay by the campaign's jitter is not over. They are the last ones of their wave, so this is a range of ranks.
fn spread(spec: &CampaignSpec, waves: &[ProgressRow], now: DateTime<Utc>) -> String {
    let mut first_rank = 0;
    let mut conditions = String::new();
    for wave in waves {
        let devices = wave.counts.enrolled;
        if let Some(begun) = wave.waits_from.and_then(|opened_at| spec.begun_by_jitter(devices, opened_at, now)) {
            let from = first_rank + u64::from(begun);
            conditions +=
                &format!(" AND NOT (m.wave = {} AND m.rank >= {from} AND (NOT m.reached OR m.staged))", wave.wave);
        }
        first_rank += u64::from(devices);
    }
    conditions
}

/// Members that may begin, the first `limit` in the campaign's order. `spread`: see [`spread`]. Each way to be ready is a query of its own, so that it can start from
/// the few rows that it concerns.
///
/// Windows say which of them are released; members whose waiting time is over end, and don't begin.
fn ready_sql(spec: &CampaignSpec, limit: i64, spread: &str, release: &Release) -> String {
    let met = format!("{} {spread}", preconditions_met());
    let part = |grantable: &str, conditions: &str| {
        format!(
            "(SELECT m.device_id, m.wave, m.rank FROM rollout_members m {grantable} {conditions} ORDER BY m.wave, m.rank LIMIT {limit})"
        )
    };
    let grantable = grantable_conditions(spec);
    let mut parts: Vec<String> = grantable.first().map(|grantable| part(grantable, &overdue())).into_iter().collect();
    for grantable in &grantable {
        match release {
            Release::All => parts.extend([READY, READY_BY_NOW].map(|ready| part(grantable, &format!("{ready} {met}")))),
            Release::Nobody => {}
            Release::Zones(_) => {
                let of_zone = part(grantable, &format!("AND m.zone = z.zone {READY} {met}"));
                parts.push(format!(
                    "(SELECT r.* FROM unnest($4::text[]) z (zone) CROSS JOIN LATERAL {of_zone} r ORDER BY wave, rank LIMIT {limit})"
                ));
                parts.push(part(grantable, &format!("AND m.zone = ANY ($4) {READY_BY_NOW} {met}")));
            }
        }
    }
    let parts = parts.join(" UNION ");
    format!("SELECT * FROM ({parts}) r ORDER BY wave, rank LIMIT {limit}")
}

async fn ready_per_wave(
    purpose: Purpose,
    tx: &mut ReadTx,
    row: &CampaignRow,
    waves: &[ProgressRow],
    now: DateTime<Utc>,
    release: &Release,
) -> Result<HashMap<u16, u32>, DbError> {
    let spread = spread(&row.spec, waves, now);
    let max = purpose.counted_max(row, waves);
    let mut counts = count_ready(tx, row, now, release, &spread, max).await?;
    // Devices of earlier waves come first. The gate of the latest wave needs its own ones, too.
    if i64::from(counts.values().sum::<u32>()) >= max && !purpose.is_content(&counts, row.wave) {
        let of_latest = format!("AND m.wave = {} {spread}", row.wave);
        let of_latest = count_ready(tx, row, now, release, &of_latest, max).await?;
        counts.extend(of_latest.get_key_value(&row.wave).map(|(wave, count)| (*wave, *count)));
    }
    Ok(counts)
}

/// Of members for which further conditions hold, at most `max`.
async fn count_ready(
    tx: &mut ReadTx,
    row: &CampaignRow,
    now: DateTime<Utc>,
    release: &Release,
    conditions: &str,
    max: i64,
) -> Result<HashMap<u16, u32>, DbError> {
    let ready = ready_sql(&row.spec, max, conditions, release);
    let sql = format!("SELECT wave, count(*) FROM ({ready}) r GROUP BY wave");
    let query = sqlx::query(&sql).bind(&row.tenant).bind(&row.campaign_id).bind(now);
    let rows = release.bind(query).fetch_all(&mut *tx.0).await?;
    rows.iter().map(|row| Ok((row.try_get::<i64, _>(0)? as u16, row.try_get::<i64, _>(1)? as u32))).collect()
}

/// The next devices that may be granted a slot, in the campaign's order.
pub async fn ready(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<SlotGrant>, DbError> {
    let mut tx = db.read_all().await?;
    let Some(row) = CampaignRow::find(&mut tx, tenant, campaign).await? else { return Ok(vec![]) };
    let waves = progress(&mut tx, tenant, campaign).await?;
    let zones = release::zones(&mut tx, &row).await?;
    let release = Release::of(&row.spec.maintenance_window, &zones, now);
    let sql = ready_sql(&row.spec, limit as i64, &spread(&row.spec, &waves, now), &release);
    let query = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string()).bind(now);
    release.bind(query).fetch_all(&mut *tx.0).await?.iter().map(slot_of).collect()
}

//! Queries of operators on a campaign's members.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::campaign::CampaignStatus;
use domain::device::{Conditions, Exclusion, Outcome, PendingUpdate, Phase, WaitReason};
use domain::preconditions::Preconditions;
use domain::rollback::RollbackObstacle;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::member_state::{EXCLUDED, MemberState, PLANNED, REGRESSED, ROLLBACK_FAILED, ROLLED_BACK, ROLLING_BACK};
use super::predicates::{PLANNED as IS_PLANNED, SLOT_UNANSWERED, goes_back, rollback_failed, shows_rollback};
use super::rollback_targets::{Former, RollbackTargets};
use super::rows::{CampaignRow, MemberRow};
use crate::db::{DbError, ReadTx};
use crate::fleet::device_now::DeviceNow;
use crate::fleet::updates::UpdateRow;
use crate::row::Row as _;
use crate::table::{Page, Select};

/// Phase of members that ended without success and have reported the campaign's version since. Replies count them beside their phase.
pub const LATE_CONFIRMED: &str = "late_confirmed";
/// Most members of a campaign whose wait reasons are counted.
const REASONS_COUNTED_MAX: usize = 1_000;
/// In the campaign's order; excluded members have wave 0.
const ORDER: &str = "m.wave, m.rank, m.device_id";

/// Which members to list.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// One device.
    pub device: Option<String>,
    /// Any of them, or [`LATE_CONFIRMED`]; all when empty.
    pub phases: Vec<String>,
    pub wave: Option<u16>,
    pub excluded: Option<LeftOut>,
}

/// Members by whether they are excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    Yes,
    No,
    For(Exclusion),
}

/// A member as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberView {
    pub device_id: String,
    pub wave: u16,
    pub rank: u32,
    pub excluded: Option<Exclusion>,
    pub from_version: Option<String>,
    /// The phase of its update; without one `planned`, or how its campaign ended it.
    pub phase: String,
    /// The same in replies and counts: `excluded` and `regressed` come before the phase of the update.
    pub displayed_phase: &'static str,
    /// Why it waits now, or why its update doesn't begin although its wave is open.
    pub wait_reason: Option<String>,
    pub ordinal: Option<u32>,
    pub retry_of: Option<u32>,
    pub attempt: u16,
    /// Of its latest failure; of its rollback, if that failed.
    pub code: Option<String>,
    pub holds_slot: bool,
    pub reached_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub regressed_at: Option<DateTime<Utc>>,
    pub late_confirmed: bool,
    pub gate_failed: bool,
    pub failure_accepted: bool,
    pub confirmed_ever: bool,
    /// Its latest update that takes it back.
    pub rollback_ordinal: Option<u32>,
    /// Why it doesn't go back in its campaign's rollback, if it can't.
    pub rollback_obstacle: Option<RollbackObstacle>,
}

/// A member, its present update, and its device.
fn from() -> String {
    format!(
        "rollout_members m
         LEFT JOIN updates u ON u.tenant = m.tenant AND u.device_id = m.device_id AND u.ordinal = m.ordinal
           AND m.before_retry IS NULL
         {}",
        DeviceNow::join("m")
    )
}

fn columns() -> String {
    let (member, update) = (MemberRow::columns_of("m"), UpdateRow::columns_of("u"));
    format!("{member}, u.ordinal IS NOT NULL, {}, {update}", DeviceNow::columns())
}

/// One row of [`columns`].
struct Joined {
    member: MemberRow,
    update: Option<UpdateRow>,
    device: Option<DeviceNow>,
}

impl Joined {
    fn read(row: &PgRow) -> Result<Self, DbError> {
        let after_member = MemberRow::columns().count();
        let device = DeviceNow::read(row, after_member + 1)?;
        let has_update: bool = row.try_get(after_member)?;
        let first = after_member + 1 + DeviceNow::COLUMNS.len();
        let update = if has_update { Some(UpdateRow::read_from(row, first)?) } else { None };
        Ok(Self { member: MemberRow::read(row)?, update, device })
    }

    fn phase(&self) -> Option<Phase> {
        self.update.as_ref().map(|update| update.timed.phase())
    }

    /// Whether its update waits, or its wave is open and it has neither an update nor a slot.
    fn waits(&self, campaign: &CampaignRow) -> bool {
        let member = &self.member;
        let is_running = matches!(campaign.status, CampaignStatus::Running | CampaignStatus::Paused);
        let is_open = (1..=campaign.wave).contains(&member.wave);
        let is_its_turn = !member.holds_slot && is_running && (is_open || campaign.spec.stages());
        member.excluded.is_none()
            && match self.phase() {
                Some(Phase::Staged) => is_its_turn && is_open,
                Some(phase) => matches!(phase, Phase::Waiting(_)),
                None => member.outcome.is_none() && is_its_turn,
            }
    }

    /// Why it waits at `now`, if it waits.
    fn wait_reason(&self, campaign: &CampaignRow, now: DateTime<Utc>) -> Option<&'static str> {
        let own = self.phase().and_then(Phase::wait_reason);
        let explained = self.device.as_ref().and_then(|device| {
            let met =
                campaign.spec.preconditions.as_ref().is_none_or(|of: &Preconditions| of.are_met(device.telemetry, now));
            let paused = campaign.status == CampaignStatus::Paused;
            let open = campaign.spec.maintenance_window.at(device.timezone.as_deref(), now).is_open();
            let pending = self.member.pending_update(self.update.as_ref(), campaign.is_urgent());
            device.availability().wait_reason(&pending, Conditions { of_campaign: true, paused, met, open }, now)
        });
        explained.or(own).map(|reason| reason.word())
    }

    /// Why it can't go back, if it would have to.
    fn rollback_obstacle(&self, back: Option<&RollbackTargets>) -> Option<RollbackObstacle> {
        let back = back.filter(|back| self.member.goes_back(back.round))?;
        let update = self.update.as_ref()?;
        let former = Former { version: update.from_version.clone(), firmware_id: update.from_firmware_id.clone() };
        back.obstacle(&former)
    }

    /// Why it has not begun to go back, if it is to and can. A rollback ignores windows and preconditions.
    fn reason_to_stay(&self, back: Option<&RollbackTargets>, now: DateTime<Utc>) -> Option<WaitReason> {
        let back = back.filter(|back| !self.member.holds_slot && self.member.goes_back(back.round))?;
        if self.rollback_obstacle(Some(back)).is_some() {
            return None;
        }
        let new = PendingUpdate { ordinal: None, waits_for: None, not_before: None, goes_first: true };
        let conditions = Conditions { of_campaign: true, paused: false, met: true, open: true };
        self.device.as_ref()?.availability().wait_reason(&new, conditions, now)
    }

    fn view(self, campaign: &CampaignRow, back: Option<&RollbackTargets>, now: DateTime<Utc>) -> MemberView {
        let rollback_obstacle = self.rollback_obstacle(back);
        let to_go_back = back.filter(|_| campaign.is_rolling_back());
        let of_update = || self.wait_reason(campaign, now).filter(|_| self.waits(campaign));
        let to_stay = self.reason_to_stay(to_go_back, now).map(WaitReason::word);
        let wait_reason = to_stay.or_else(of_update).map(str::to_owned);
        let ended_with_campaign = campaign.planned_ended_at.filter(|_| self.member.is_planned());
        let state = MemberState::new(&self.member, self.update.as_ref(), campaign.planned_outcome);
        let (phase, displayed_phase) = (state.update_phase().to_owned(), state.displayed_phase());
        let Self { member, update, .. } = self;
        MemberView {
            phase,
            displayed_phase,
            wait_reason,
            attempt: update.as_ref().map_or(0, |update| update.timed.state.attempt),
            reached_at: update.as_ref().and_then(|update| update.timed.reached_at),
            device_id: member.device_id,
            wave: member.wave,
            rank: member.rank,
            excluded: member.excluded,
            from_version: member.from_version,
            ordinal: member.ordinal,
            retry_of: member.retry_of,
            code: if displayed_phase == ROLLBACK_FAILED { member.rollback_code } else { member.code },
            holds_slot: member.holds_slot,
            ended_at: member.ended_at.or(ended_with_campaign),
            regressed_at: member.regressed_at,
            late_confirmed: member.late_confirmed,
            gate_failed: member.gate_failed,
            failure_accepted: member.failure_accepted,
            confirmed_ever: member.confirmed_ever,
            rollback_ordinal: member.rollback_ordinal,
            rollback_obstacle,
        }
    }
}

/// Members in a phase as operators see it. Each condition can be found by an index.
fn condition_of(phase: &str, campaign: &CampaignRow) -> String {
    match phase {
        ROLLING_BACK => "(m.rollback_ordinal IS NOT NULL AND m.rollback_outcome IS NULL)".to_owned(),
        ROLLED_BACK => "(m.rollback_ordinal IS NOT NULL AND m.rollback_outcome = 'confirmed')".to_owned(),
        ROLLBACK_FAILED => format!("(m.rollback_ordinal IS NOT NULL AND {})", rollback_failed()),
        phase if campaign.rollback.is_some() && phase != LATE_CONFIRMED => {
            format!("({} AND NOT {})", condition_of_update(phase, campaign), shows_rollback())
        }
        phase => condition_of_update(phase, campaign),
    }
}

/// The same without the effects of a rollback of the campaign.
fn condition_of_update(phase: &str, campaign: &CampaignRow) -> String {
    match phase {
        EXCLUDED => "(m.wave = 0 AND m.excluded IS NOT NULL)".to_owned(),
        LATE_CONFIRMED => "(m.outcome IS NOT NULL AND m.late_confirmed)".to_owned(),
        REGRESSED => "(m.gate_failed AND m.regressed_at IS NOT NULL)".to_owned(),
        // Members with an unanswered slot have no update yet, either.
        PLANNED if campaign.planned_outcome.is_some() => SLOT_UNANSWERED.to_owned(),
        PLANNED => format!("({IS_PLANNED} OR {SLOT_UNANSWERED})"),
        word => match (Outcome::from_word(word), Phase::is_word(word)) {
            (Some(outcome), _) if campaign.planned_outcome == Some(outcome) => {
                format!("((m.outcome = '{}' AND m.regressed_at IS NULL) OR {IS_PLANNED})", outcome.word())
            }
            (Some(outcome), _) => format!("(m.outcome = '{}' AND m.regressed_at IS NULL)", outcome.word()),
            (None, true) => format!("(m.outcome IS NULL AND m.excluded IS NULL AND u.open AND u.phase = '{word}')"),
            (None, false) => "false".to_owned(),
        },
    }
}

/// A campaign's devices at `now`, in its order; empty before it is planned.
pub async fn members(
    tx: &mut ReadTx,
    campaign: &str,
    filter: &MemberFilter,
    now: DateTime<Utc>,
    after: Option<(u16, u32, &str)>,
    limit: usize,
    count: bool,
) -> Result<Page<MemberView>, DbError> {
    let Some(campaign) = planned_campaign(tx, campaign).await? else {
        return Ok(Page { items: vec![], next: None, total: count.then_some(0) });
    };
    let mut select = Select::new(columns(), from(), ORDER);
    select.equals("m.campaign_id", Some(&campaign.campaign_id));
    select.equals("m.plan", campaign.plan.as_ref());
    select.equals("m.device_id", filter.device.as_ref());
    if !filter.phases.is_empty() {
        let conditions: Vec<String> = filter.phases.iter().map(|phase| condition_of(phase, &campaign)).collect();
        select.require(format!("({})", conditions.join(" OR ")));
    }
    if let Some(wave) = filter.wave {
        select.filter("m.wave = ($)::bigint", wave);
    }
    match filter.excluded {
        Some(LeftOut::Yes) => select.require("m.wave = 0 AND m.excluded IS NOT NULL".to_owned()),
        Some(LeftOut::No) => select.require("m.excluded IS NULL".to_owned()),
        Some(LeftOut::For(reason)) => select.filter("m.excluded = $ #>> '{}'", reason.word()),
        None => {}
    }
    let after = after.map(|(wave, rank, device)| {
        let condition = "(m.wave, m.rank, m.device_id) > (($)::bigint, ($)::bigint, $ #>> '{}')".to_owned();
        (condition, vec![Value::from(wave), Value::from(rank), Value::from(device)])
    });
    let back = RollbackTargets::of(tx, &campaign).await?;
    let read = |row: &PgRow| Ok(Joined::read(row)?.view(&campaign, back.as_ref(), now));
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items
        .last()
        .filter(|_| more)
        .map(|member| vec![member.wave.to_string(), member.rank.to_string(), member.device_id.clone()]);
    Ok(Page { items, next, total })
}

/// The row of a campaign that has a plan.
async fn planned_campaign(tx: &mut ReadTx, campaign: &str) -> Result<Option<CampaignRow>, DbError> {
    let columns = CampaignRow::columns_of("t");
    let sql = format!("SELECT {columns} FROM rollout_campaigns t WHERE campaign_id = $1 AND plan IS NOT NULL");
    let row = sqlx::query(&sql).bind(campaign).fetch_optional(&mut *tx.0).await?;
    row.as_ref().map(CampaignRow::read).transpose()
}

/// Devices that neither work nor could begin now, by wait reason: of the open wave, after the last one of all waves, and while the campaign is
/// rolled back those that have yet to go back. Deferred ones count as `deferred`. At most `REASONS_COUNTED_MAX` devices are counted.
pub async fn wait_reasons(
    tx: &mut ReadTx,
    campaign: &str,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, u64>, DbError> {
    let mut reasons = BTreeMap::new();
    let Some(campaign) = planned_campaign(tx, campaign).await? else { return Ok(reasons) };
    if let Some(back) = RollbackTargets::of(tx, &campaign).await?.filter(|_| campaign.is_rolling_back()) {
        return reasons_to_stay(tx, &campaign, &back, now).await;
    }
    let mut select = Select::new(columns(), from(), ORDER);
    select.equals("m.campaign_id", Some(&campaign.campaign_id));
    select.equals("m.plan", campaign.plan.as_ref());
    select.require("m.outcome IS NULL AND m.excluded IS NULL AND NOT m.holds_slot".to_owned());
    let first_wave = if campaign.wave_completed { 1 } else { campaign.wave.max(1) };
    let last_wave = if campaign.is_staging() { campaign.spec.waves.len() as u16 } else { campaign.wave };
    select.filter("m.wave >= ($)::bigint", first_wave);
    select.filter("m.wave <= ($)::bigint", last_wave);
    let (joined, _, _) = select.page(tx, None, REASONS_COUNTED_MAX, false, Joined::read).await?;
    for member in joined {
        let reason = match member.phase() {
            Some(_) if member.update.as_ref().is_some_and(UpdateRow::waits_for_window) => continue,
            Some(phase @ (Phase::Deferred | Phase::Staged)) => phase.word(),
            Some(phase) if !phase.is_waiting() => continue,
            _ => member.wait_reason(&campaign, now).unwrap_or(WaitReason::Slot.word()),
        };
        // The campaign itself waits for slots and windows.
        if ![WaitReason::Slot, WaitReason::Window].map(WaitReason::word).contains(&reason) {
            *reasons.entry(reason.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(reasons)
}

/// Why devices that can go back have not begun to.
async fn reasons_to_stay(
    tx: &mut ReadTx,
    campaign: &CampaignRow,
    back: &RollbackTargets,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, u64>, DbError> {
    let mut select = Select::new(columns(), from(), ORDER);
    select.equals("m.campaign_id", Some(&campaign.campaign_id));
    select.equals("m.plan", campaign.plan.as_ref());
    select.require(format!("NOT m.holds_slot AND {}", goes_back(&back.round.to_string())));
    let (joined, _, _) = select.page(tx, None, REASONS_COUNTED_MAX, false, Joined::read).await?;
    let mut reasons = BTreeMap::new();
    for reason in joined.iter().filter_map(|member| member.reason_to_stay(Some(back), now)) {
        // The campaign itself waits for slots.
        if reason != WaitReason::Slot {
            *reasons.entry(reason.word().to_owned()).or_insert(0) += 1;
        }
    }
    Ok(reasons)
}

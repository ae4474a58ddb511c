//! Rows of the rollout read model.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::campaign::{CampaignSpec, CampaignStatus, RollbackEvidence};
use domain::device::{Exclusion, FirmwareSnapshot, Outcome, UpdateKind, goes_first};
use domain::ledger::SlotGrant;
use domain::plan::PlanEntry;
use domain::rollout::{Counts, PacedUntil};
use domain::{CampaignId, TenantId};
use event_store::RecordRef;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::db::{DbError, ReadTx};
use crate::row::{Row as _, parse, row};

/// A campaign as the policy needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRow {
    pub tenant: String,
    pub campaign_id: String,
    pub status: CampaignStatus,
    pub before_pause: Option<CampaignStatus>,
    /// Its status is live ([`CampaignStatus::is_live`]).
    pub at_work: bool,
    pub spec: CampaignSpec,
    pub firmware: Option<FirmwareSnapshot>,
    /// The plan that `campaign.planned` named.
    pub plan: Option<String>,
    /// Position at which planning began.
    pub planning_position: u64,
    /// Its firmware is pinned by it.
    pub pinned: bool,
    pub wave: u16,
    pub wave_completed: bool,
    pub soaking_since: Option<DateTime<Utc>>,
    pub paused_at: Option<DateTime<Utc>>,
    /// An operator accepted the failures while the present wave was open.
    pub accepted: bool,
    pub ledger_version: u64,
    pub granted_total: u64,
    /// When the intervals of all devices granted so far are over; set if the rate is limited.
    pub paced_until: Option<DateTime<Utc>>,
    /// The same for LoRaWAN devices.
    pub lorawan_paced_until: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    /// How often failed devices were retried.
    pub retry_round: u16,
    /// When it starts by itself; present while it is scheduled, or paused before its start.
    pub starts_at: Option<DateTime<Utc>>,
    /// When the campaign has ended: the outcome of its devices that never had their turn, and the time. Their own rows aren't written.
    pub planned_outcome: Option<Outcome>,
    pub planned_ended_at: Option<DateTime<Utc>>,
    /// Its latest rollback, also after that has ended.
    pub rollback: Option<CampaignRollback>,
    /// Version of the aggregate.
    pub version: u64,
    pub position: u64,
}

row! {
    CampaignRow = "rollout_campaigns" key { tenant: "text", campaign_id: "text" }
    columns {
        status, before_pause, at_work, plan, planning_position, pinned, wave, wave_completed, soaking_since,
        paused_at, accepted, ledger_version, granted_total, paced_until, lorawan_paced_until, ends_at, retry_round, starts_at, planned_outcome, planned_ended_at,
        version, position
    }
    json { spec, firmware, rollback }
}

impl CampaignRow {
    pub(super) fn draft(tenant: String, campaign_id: String, spec: CampaignSpec) -> Self {
        Self {
            tenant,
            campaign_id,
            status: CampaignStatus::Draft,
            before_pause: None,
            at_work: false,
            spec,
            firmware: None,
            plan: None,
            planning_position: 0,
            pinned: false,
            wave: 0,
            wave_completed: false,
            soaking_since: None,
            paused_at: None,
            accepted: false,
            ledger_version: 0,
            granted_total: 0,
            paced_until: None,
            lorawan_paced_until: None,
            ends_at: None,
            retry_round: 0,
            starts_at: None,
            planned_outcome: None,
            planned_ended_at: None,
            rollback: None,
            version: 0,
            position: 0,
        }
    }

    pub(super) fn paced_until(&self) -> PacedUntil {
        PacedUntil { mqtt: self.paced_until, lorawan: self.lorawan_paced_until }
    }

    pub(super) fn set_paced_until(&mut self, until: PacedUntil) {
        (self.paced_until, self.lorawan_paced_until) = (until.mqtt, until.lorawan);
    }

    /// Keys of the counts of its waves.
    pub(super) fn wave_keys(&self) -> Vec<Vec<String>> {
        let key = |wave: usize| vec![self.tenant.clone(), self.campaign_id.clone(), wave.to_string()];
        (1..=self.spec.waves.len()).map(key).collect()
    }

    /// Its updates go before updates that wait for their next attempt.
    pub(super) fn is_urgent(&self) -> bool {
        goes_first(UpdateKind::Update, self.spec.priority)
    }
}

impl CampaignRow {
    /// Whether devices stage, and none may activate yet.
    pub(super) fn is_staging(&self) -> bool {
        self.spec.stages() && self.wave == 0
    }

    /// Whether its devices go back, also while that is paused.
    pub(super) fn is_rolling_back(&self) -> bool {
        let paused_in = self.before_pause.filter(|_| self.status == CampaignStatus::Paused);
        paused_in.unwrap_or(self.status) == CampaignStatus::RollingBack
    }

    /// The round of the campaign's updates. Rounds rise with rollbacks, too; no update is retried after the first of them.
    pub(super) fn update_round(&self) -> u16 {
        self.rollback.as_ref().map_or(self.retry_round, |rollback| rollback.update_round)
    }

    /// The round of the rollback that is under way.
    pub(super) fn rollback_round(&self) -> Option<u16> {
        self.rollback.as_ref().filter(|_| self.is_rolling_back()).map(|rollback| rollback.round)
    }
}

/// Who began a campaign's rollback, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRollback {
    pub round: u16,
    pub since: DateTime<Utc>,
    /// A gate began it.
    pub automatic: bool,
    pub requested_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The latest round of updates, before this and other rollbacks.
    pub update_round: u16,
    /// How it ended, with the devices that can't go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RollbackEvidence>,
}

impl CampaignRow {
    pub(super) async fn find(
        tx: &mut ReadTx,
        tenant: &TenantId,
        campaign: &CampaignId,
    ) -> Result<Option<Self>, DbError> {
        let columns = Self::columns_of("t");
        let sql = format!("SELECT {columns} FROM rollout_campaigns t WHERE tenant = $1 AND campaign_id = $2");
        let row = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string()).fetch_optional(&mut *tx.0).await?;
        row.as_ref().map(Self::read).transpose()
    }
}

/// Counts of each wave, in order.
pub async fn progress(tx: &mut ReadTx, tenant: &TenantId, campaign: &CampaignId) -> Result<Vec<ProgressRow>, DbError> {
    let columns = ProgressRow::columns_of("t");
    let sql = format!("SELECT {columns} FROM campaign_progress t WHERE tenant = $1 AND campaign_id = $2 ORDER BY wave");
    let rows = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string()).fetch_all(&mut *tx.0).await?;
    rows.iter().map(ProgressRow::read).collect()
}

/// The slot of a row with the columns `device_id`, `wave`, `rank` and `lorawan`.
pub(super) fn slot_of(row: &PgRow) -> Result<SlotGrant, DbError> {
    Ok(SlotGrant {
        device: parse(row.try_get("device_id")?)?,
        wave: row.try_get::<i64, _>("wave")? as u16,
        rank: row.try_get::<i64, _>("rank")? as u32,
        lorawan: row.try_get("lorawan")?,
    })
}

/// Counts of one wave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProgressRow {
    pub tenant: String,
    pub campaign_id: String,
    pub wave: u16,
    pub opened_at: Option<DateTime<Utc>>,
    /// When the clocks of its devices began: at its opening or the latest retry, moved forward by the length of pauses.
    pub waits_from: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub counts: Counts,
    /// Members without an update, a slot or an outcome of their own: they end with their campaign.
    pub planned: i64,
    /// Members by phase, as operators see it, without the excluded ones.
    pub phases: BTreeMap<String, i64>,
    /// Failed members by code.
    pub failures: BTreeMap<String, i64>,
    /// Members that ended without success and have reported the campaign's version since.
    pub late_confirmed: i64,
    /// Members that a retry would reset.
    pub retryable: i64,
    /// Attempts beyond the first of each update.
    pub retries: i64,
    /// From the first `received` to the confirmation, of all that are confirmed, in milliseconds.
    pub confirmed_ms: i64,
    /// The record that last changed how many of its devices were reached, settled or ended.
    pub last_outcome: Option<RecordRef>,
    /// The record that last changed how many of its devices failed.
    pub last_failure: Option<RecordRef>,
}

row! {
    ProgressRow = "campaign_progress" key { tenant: "text", campaign_id: "text", wave: "bigint" }
    columns {
        opened_at, waits_from, completed_at, planned, late_confirmed, retryable, retries, confirmed_ms
    }
    json { phases, failures, last_outcome, last_failure }
    groups { counts: Counts }
}

/// How a member's update had ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PastOutcome {
    /// Older rows call it `phase`. They serve until they are rebuilt.
    #[serde(alias = "phase")]
    pub(super) outcome: Option<Outcome>,
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) reached: bool,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) regressed_at: Option<DateTime<Utc>>,
    pub(super) late_confirmed: bool,
    /// An operator has accepted it, perhaps while it was kept aside.
    pub(super) failure_accepted: bool,
    pub(super) retry_of: Option<u32>,
}

/// A device in a campaign: its place in the plan, its slot, and what gates count. Its update has the phase ([`super::member_state`]).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MemberRow {
    pub tenant: String,
    pub campaign_id: String,
    pub plan: String,
    pub device_id: String,
    pub rank: u32,
    pub wave: u16,
    pub excluded: Option<Exclusion>,
    pub from_version: Option<String>,
    /// It counts with the LoRaWAN devices.
    pub lorawan: bool,
    /// Its latest update.
    pub ordinal: Option<u32>,
    /// The ended update that a new one retries. Later reports about it change nothing here.
    pub retry_of: Option<u32>,
    /// How its update ended, or its campaign without an update.
    pub outcome: Option<Outcome>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Its device has answered.
    pub reached: bool,
    pub holds_slot: bool,
    pub grant_number: u64,
    /// The device has answered the latest grant. Until then the slot is in use, also after other reports of the device.
    pub grant_seen: bool,
    pub gate_failed: bool,
    /// An operator has accepted its fault: the failure gate doesn't count it again.
    pub gate_accepted: bool,
    /// An operator has accepted the fault of this update: the success gate doesn't count it either.
    pub failure_accepted: bool,
    pub confirmed_ever: bool,
    pub regressed_at: Option<DateTime<Utc>>,
    /// Its update ended without success, but the device reports the version now.
    pub late_confirmed: bool,
    /// Code of its latest failure.
    pub code: Option<String>,
    /// The hardware version of its device at that time.
    pub failed_hardware: Option<String>,
    /// Set while it is to be retried and has no new update yet.
    pub before_retry: Option<PastOutcome>,
    /// Its latest update that takes it back, how that ended, and in which round of the campaign.
    pub rollback_ordinal: Option<u32>,
    pub rollback_outcome: Option<Outcome>,
    pub rollback_round: Option<u16>,
    /// An operator has accepted how it ended: the gate of rollbacks doesn't count it again.
    pub rollback_accepted: bool,
    /// Code of the latest failure of that update.
    pub rollback_code: Option<String>,
    /// It has staged the version and does not run it yet.
    pub staged: bool,
    /// The member and its device allow it to begin now, or to activate.
    pub ready: bool,
    /// When they will allow it; none if it is ready, or if something else must happen first.
    pub ready_at: Option<DateTime<Utc>>,
    /// The zone of its device, empty if it has none: only in campaigns whose windows follow devices, and until it has ended.
    pub zone: Option<String>,
}

row! {
    MemberRow = "rollout_members" key { tenant: "text", plan: "text", device_id: "text" }
    columns {
        campaign_id, rank, wave, excluded, from_version, lorawan, ordinal, retry_of, outcome, ended_at, reached, holds_slot, grant_number,
        grant_seen, gate_failed, gate_accepted, failure_accepted, confirmed_ever, regressed_at, late_confirmed, code, failed_hardware,
        staged, ready, ready_at, zone, rollback_ordinal, rollback_outcome, rollback_round,
        rollback_accepted, rollback_code
    }
    json { before_retry }
}

impl MemberRow {
    /// A member of a plan that was written.
    pub(super) fn planned(tenant: String, campaign: &CampaignId, plan: &Uuid, entry: &PlanEntry) -> Self {
        Self {
            tenant,
            campaign_id: campaign.to_string(),
            plan: plan.to_string(),
            device_id: entry.device.to_string(),
            rank: entry.rank,
            wave: entry.wave,
            excluded: entry.excluded,
            from_version: entry.from_version.clone(),
            lorawan: entry.lorawan,
            ordinal: None,
            retry_of: None,
            outcome: None,
            ended_at: None,
            reached: false,
            holds_slot: false,
            grant_number: 0,
            grant_seen: false,
            gate_failed: false,
            gate_accepted: false,
            failure_accepted: false,
            confirmed_ever: false,
            regressed_at: None,
            late_confirmed: false,
            code: None,
            failed_hardware: None,
            before_retry: None,
            rollback_ordinal: None,
            rollback_outcome: None,
            rollback_round: None,
            rollback_accepted: false,
            rollback_code: None,
            staged: false,
            ready: false,
            ready_at: None,
            zone: None,
        }
    }

    /// Key of its latest update.
    pub(super) fn latest_update(&self) -> Option<Vec<String>> {
        Some(vec![self.tenant.clone(), self.device_id.clone(), self.ordinal?.to_string()])
    }

    /// Key of its present update: none before it has one, and while it is to be retried.
    pub(super) fn update_key(&self) -> Option<Vec<String>> {
        self.latest_update().filter(|_| self.before_retry.is_none())
    }

    /// Whether it waits for its turn. If so, it ends with its campaign.
    pub(super) fn is_planned(&self) -> bool {
        self.outcome.is_none() && self.update_key().is_none() && !self.holds_slot && self.excluded.is_none()
    }

    pub(super) fn campaign_key(&self) -> [String; 2] {
        [self.tenant.clone(), self.campaign_id.clone()]
    }

    pub(super) fn device_key(&self) -> [String; 2] {
        [self.tenant.clone(), self.device_id.clone()]
    }

    pub(super) fn wave_key(&self) -> Vec<String> {
        vec![self.tenant.clone(), self.campaign_id.clone(), self.wave.to_string()]
    }
}

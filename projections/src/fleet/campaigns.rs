//! Read model `campaigns`: campaigns as operators list them. Their counts are in the rollout read model.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{CampaignResult, CampaignSpec, CampaignStatus, ENDS_AFTER_DAYS, PauseCause, PlanSummary};
use domain::change::Change;
use domain::events::CampaignEvent as E;
use domain::plan::ExpectedPlan;
use domain::{GroupId, Person};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::db::{DbError, ReadTx};
use crate::decode::{Decoded, Events};
use crate::row::{ColumnValue, Row as _, row, word};
use crate::table::{Page, Rows, Select};

/// A campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRow {
    pub tenant: String,
    pub campaign_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub firmware_id: String,
    pub strategy: String,
    pub status: String,
    pub before_pause: Option<String>,
    pub spec: CampaignSpec,
    pub summary: Option<PlanSummary>,
    /// The plan that a start named, until the plan is made.
    pub expected_plan: Option<ExpectedPlan>,
    /// The plan that the latest start was refused for.
    pub refused_plan: Option<PlanSummary>,
    /// The latest gate that closed, as in its event.
    pub gate: Option<Value>,
    pub gate_closed_at: Option<DateTime<Utc>>,
    /// An operator accepted the failures that closed it.
    pub gate_accepted: bool,
    /// Present while it is paused.
    pub paused_by: Option<PauseCause>,
    /// The decision of an approver on this specification; none before, and none after an edit.
    pub decision: Option<DecisionRow>,
    pub wave: u16,
    pub result: Option<String>,
    /// Version of the aggregate.
    pub version: u64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    /// When it ends; set once it has been started.
    pub ends_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    CampaignRow = "campaigns" key { tenant: "text", campaign_id: "text" }
    columns {
        name, description, firmware_id, strategy, status, before_pause, gate_closed_at, gate_accepted, paused_by,
        wave, result, version, created_by, created_at, started_at, ends_at, ended_at, updated_at, position
    }
    json { spec, summary, expected_plan, refused_plan, gate, decision }
}

/// An approver's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRow {
    pub approved: bool,
    pub by: String,
    pub at: DateTime<Utc>,
    /// Absent if it is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Stored as its word.
impl ColumnValue for PauseCause {
    type Wire = String;

    fn to_wire(&self) -> String {
        word(self)
    }

    fn from_wire(wire: String) -> Result<Self, DbError> {
        Ok(serde_json::from_value(wire.into())?)
    }
}

pub(crate) const TABLES: &[&str] = &["campaigns"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_campaigns = || batch.iter().filter(|record| matches!(record.events, Events::Campaign(_)));
    let keys = of_campaigns().map(|record| vec![record.tenant(), record.id()]);
    let mut rows = Rows::<CampaignRow>::load(connection, keys.collect()).await?;
    for record in of_campaigns() {
        let Events::Campaign(events) = &record.events else { continue };
        let key = vec![record.tenant(), record.id()];
        for event in events {
            if let E::Created { spec, .. } = event {
                rows.put(new_row(record, spec));
            }
            let row =
                rows.get_mut(&key).ok_or_else(|| DbError::Invalid(format!("{} was never created", record.raw.key)))?;
            apply(row, event, record)?;
            row.version = record.record.last_version();
            row.updated_at = record.at();
            row.position = record.raw.position;
        }
    }
    rows.save(connection).await
}

fn new_row(record: &Decoded, spec: &CampaignSpec) -> CampaignRow {
    CampaignRow {
        tenant: record.tenant(),
        campaign_id: record.id(),
        name: None,
        description: None,
        firmware_id: String::new(),
        strategy: String::new(),
        status: CampaignStatus::Draft.word().to_owned(),
        before_pause: None,
        spec: spec.clone(),
        summary: None,
        expected_plan: None,
        refused_plan: None,
        gate: None,
        gate_closed_at: None,
        gate_accepted: false,
        paused_by: None,
        decision: None,
        wave: 0,
        result: None,
        version: 0,
        created_by: record.record.meta.actor.to_string(),
        created_at: record.at(),
        started_at: None,
        ends_at: None,
        ended_at: None,
        updated_at: record.at(),
        position: record.raw.position,
    }
}

fn set_spec(row: &mut CampaignRow, spec: &CampaignSpec) {
    row.name = spec.name.plain().cloned();
    row.description = spec.description.as_ref().and_then(|text| text.plain().cloned());
    row.firmware_id = spec.firmware_id.to_string();
    row.strategy = spec.strategy.word().to_owned();
    row.spec = spec.clone();
}

fn decision(record: &Decoded, approved: bool, by: &Person) -> Option<DecisionRow> {
    let remark = record.record.meta.reason.as_ref().and_then(|reason| reason.plain().cloned());
    Some(DecisionRow { approved, by: by.to_string(), at: record.at(), remark })
}

/// A start names its plan, or none.
fn start_with(row: &mut CampaignRow, expected: Option<&ExpectedPlan>) {
    (row.expected_plan, row.refused_plan) = (expected.cloned(), None);
}

fn apply(row: &mut CampaignRow, event: &E, record: &Decoded) -> Result<(), DbError> {
    let at = record.at();
    let status = |row: &mut CampaignRow, status: CampaignStatus| row.status = status.word().to_owned();
    match event {
        E::Created { spec, .. } => set_spec(row, spec),
        E::Amended { spec, .. } => {
            status(row, CampaignStatus::Draft);
            row.decision = None;
            start_with(row, None);
            set_spec(row, spec);
        }
        E::ApprovalRequested { expected } => {
            status(row, CampaignStatus::AwaitingApproval);
            row.decision = None;
            start_with(row, expected.as_deref());
        }
        E::Approved { by } => {
            status(row, CampaignStatus::Approved);
            row.decision = decision(record, true, by);
        }
        E::Rejected { by } => {
            status(row, CampaignStatus::Rejected);
            row.decision = decision(record, false, by);
        }
        E::Scheduled { expected, .. } => {
            status(row, CampaignStatus::Scheduled);
            start_with(row, expected.as_deref());
        }
        E::Adjusted { changes, sample } => {
            row.spec = row.spec.adjusted(changes);
            if let Change::Set(ends_at) = changes.ends_at {
                row.ends_at = Some(ends_at);
            }
            if let (Some(summary), Some(sample)) = (&mut row.summary, sample) {
                summary.resample(sample);
            }
        }
        E::Retried { ends_at, .. } => {
            row.spec.ends_at = ends_at.or(row.spec.ends_at);
            row.ends_at = ends_at.or(row.ends_at);
            if row.ended_at.take().is_some() {
                status(row, CampaignStatus::Running);
                row.result = None;
            }
        }
        E::Deleted {} => status(row, CampaignStatus::Deleted),
        E::PlanningStarted { ends_at, expected, .. } => {
            status(row, CampaignStatus::Planning);
            start_with(row, expected.as_deref());
            row.started_at = Some(at);
            row.ends_at = ends_at.or(row.spec.ends_at).or(Some(at + TimeDelta::days(ENDS_AFTER_DAYS)));
        }
        E::Planned { summary } => (row.summary, row.expected_plan) = (Some((**summary).clone()), None),
        E::PlanRefused { summary, returns_to } => {
            status(row, *returns_to);
            (row.started_at, row.ends_at, row.expected_plan) = (None, None, None);
            row.refused_plan = Some((**summary).clone());
        }
        E::Started {} => status(row, CampaignStatus::Running),
        E::WaveOpened { wave, .. } => row.wave = *wave,
        E::Staged { .. } | E::GatePassed { .. } | E::SoakBroken { .. } | E::WaveCompleted { .. } => {}
        E::GateClosed { .. } => {
            row.gate = Some(serde_json::to_value(event)?);
            (row.gate_closed_at, row.gate_accepted) = (Some(at), false);
        }
        E::Paused { cause } => {
            row.paused_by = Some(*cause);
            row.before_pause = Some(std::mem::replace(&mut row.status, CampaignStatus::Paused.word().to_owned()));
        }
        E::Resumed { accept_failures } => {
            row.gate_accepted |= *accept_failures && row.paused_by == Some(PauseCause::Gate);
            row.paused_by = None;
            row.status = row.before_pause.take().unwrap_or_else(|| CampaignStatus::Running.word().to_owned());
        }
        E::Cancelling {} => {
            status(row, CampaignStatus::Cancelling);
            row.paused_by = None;
        }
        E::RollingBack { .. } => {
            status(row, CampaignStatus::RollingBack);
            (row.paused_by, row.ended_at, row.result) = (None, None, None);
        }
        E::RolledBack { .. } => {
            status(row, CampaignStatus::RolledBack);
            row.result = Some(row.status.clone());
            row.ended_at = Some(at);
        }
        E::Cancelled {} => {
            status(row, CampaignStatus::Cancelled);
            row.paused_by = None;
            row.ended_at = Some(at);
        }
        E::Finished { result, .. } => {
            status(row, status_of(*result));
            row.paused_by = None;
            row.result = Some(row.status.clone());
            row.ended_at = Some(at);
        }
    }
    Ok(())
}

impl CampaignRow {
    /// The gate that stops the campaign now, as in its event.
    pub fn closed_gate(&self) -> Option<&Value> {
        self.gate.as_ref().filter(|_| self.paused_by == Some(PauseCause::Gate))
    }
}

pub(crate) fn status_of(result: CampaignResult) -> CampaignStatus {
    match result {
        CampaignResult::Completed => CampaignStatus::Completed,
        CampaignResult::CompletedWithFailures => CampaignStatus::CompletedWithFailures,
        CampaignResult::Failed => CampaignStatus::Failed,
    }
}

/// Statuses in which a campaign neither works nor is about to: a rejected one must be changed or started by an operator, as a draft.
pub(crate) fn words_not_under_way() -> Vec<&'static str> {
    let is_idle = |status: &CampaignStatus| {
        status.is_terminal() || matches!(status, CampaignStatus::Draft | CampaignStatus::Rejected)
    };
    CampaignStatus::all().filter(is_idle).map(CampaignStatus::word).collect()
}

/// Which campaigns to list.
#[derive(Debug, Clone, Default)]
pub struct CampaignFilter {
    pub id: Option<String>,
    /// Also deleted drafts.
    pub deleted: bool,
    pub status: Option<String>,
    pub firmware_id: Option<String>,
    pub strategy: Option<String>,
    /// Only campaigns whose targets are members of these groups and nobody else.
    pub within: Option<Vec<GroupId>>,
}

/// The same as [`domain::campaign::CampaignSpec::stays_within`].
pub(super) const STAYS_WITHIN: &str = "(NOT coalesce((t.spec ->> 'target_all')::boolean, false)
    AND coalesce(t.spec -> 'target_devices', '[]') = '[]' AND coalesce(t.spec -> 'target_filters', '{}') = '{}'
    AND coalesce(t.spec -> 'target_groups', '[]') <> '[]' AND t.spec -> 'target_groups' <@ $)";

/// Campaigns, newest first.
pub async fn list(
    tx: &mut ReadTx,
    filter: &CampaignFilter,
    after: Option<(&str, &str)>,
    limit: usize,
    count: bool,
) -> Result<Page<CampaignRow>, DbError> {
    let order = "t.created_at DESC, t.campaign_id DESC";
    let mut select = Select::new(CampaignRow::columns_of("t"), "campaigns t", order);
    select.equals("t.campaign_id", filter.id.as_ref());
    select.equals("t.status", filter.status.as_ref());
    select.equals("t.firmware_id", filter.firmware_id.as_ref());
    select.equals("t.strategy", filter.strategy.as_ref());
    if let Some(groups) = &filter.within {
        select.filter(STAYS_WITHIN, json!(groups));
    }
    if !filter.deleted {
        select.filter("t.status <> $ #>> '{}'", "deleted");
    }
    let after = after.map(|(created_at, id)| {
        let condition = "(t.created_at, t.campaign_id) < (($ #>> '{}')::timestamptz, $ #>> '{}')".to_owned();
        (condition, vec![json!(created_at), json!(id)])
    });
    let (items, more, total) = select.page(tx, after, limit, count, CampaignRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.created_at.to_rfc3339(), row.campaign_id.clone()]);
    Ok(Page { items, next, total })
}

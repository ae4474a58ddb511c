//! The campaign in replies, from its aggregate or from the read model.

use chrono::{DateTime, Utc};
use domain::CampaignId;
use domain::campaign::{Campaign, CampaignStatus, ENDS_AFTER_DAYS, OperatorCommand, PlanSummary};
use domain::plan::ExpectedPlan;
use event_store::{Loaded, Origin, Times};
use projections::campaigns::{CampaignRow, DecisionRow};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::spec::SpecBody;
use super::waits::WaitBody;
use super::warnings::warnings;
use crate::http::{Done, Problem, RefusalBody, WhyNot, why_not};

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignBody {
    pub(crate) campaign_id: String,
    /// `draft`, `awaiting_approval`, `approved`, `rejected`, `scheduled`, `planning`, `running`, `paused`, `cancelling`, `cancelled`,
    /// `rolling_back`, `rolled_back`, `completed`, `completed_with_failures` or `failed`; more may be added.
    status: String,
    #[serde(flatten)]
    spec: SpecBody,
    /// The decision of an approver on this specification; null before, and after an edit.
    approval: Option<ApprovalBody>,
    /// Commands that this state allows. Other facts may still refuse one: the caller, a gate, a field. Only in replies about the current
    /// campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["amend", "delete", "start", "cancel"]))]
    allowed_commands: Option<Vec<&'static str>>,
    /// Why this state doesn't allow the other commands, by command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, RefusalBody>>)]
    why_not: Option<WhyNot>,
    /// The open wave, 0 before the first.
    wave: u16,
    /// Result of planning: chunks, devices, exclusions by reason, waves, seed, position, hash.
    #[schema(value_type = Option<Object>)]
    plan: Option<Value>,
    /// The plan that a start named: its hash, `on_drift`, and what its preview has shown. Until the campaign is planned or edited.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_plan: Option<Value>,
    /// The plan that the latest start was refused for, with its `drift` from the expected one. Absent after the next start or edit.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_plan: Option<Value>,
    /// The gate that currently stops the campaign, with its evidence; null after its failures are accepted, or the campaign is cancelled or
    /// ends.
    #[schema(value_type = Option<Object>)]
    gate: Option<Value>,
    /// The latest gate that closed, with `closed_at` and whether its failures were `accepted`. Earlier ones are in the history.
    #[schema(value_type = Option<Object>)]
    last_gate: Option<Value>,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    /// When waiting updates expire; the campaign ends when updates under way have ended. For a draft the requested time, or null.
    ends_at: Option<DateTime<Utc>>,
    /// Before the start, without an end of its own: the campaign ends this many days after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_after_days: Option<i64>,
    ended_at: Option<DateTime<Utc>>,
    /// What it waits for; empty if it continues by itself or has ended. Only in replies to queries of one current campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<Vec<WaitBody>>,
    /// Number of the campaign's events: its `ETag`.
    version: u64,
    /// Warnings for its creator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// The decision of an approver.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"decision": "approved", "by": "user:7", "at": "2026-03-06T09:00:00Z", "remark": "checked with support"}))]
pub(crate) struct ApprovalBody {
    /// `approved` or `rejected`.
    decision: &'static str,
    by: String,
    at: Option<DateTime<Utc>>,
    /// Only in replies to queries of current campaigns; the history has it, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

fn decision_word(approved: bool) -> CampaignStatus {
    if approved { CampaignStatus::Approved } else { CampaignStatus::Rejected }
}

fn allowed(status: CampaignStatus, planned: bool, goes_back: bool) -> Option<Vec<&'static str>> {
    Some(status.allowed_commands(planned, goes_back).into_iter().map(OperatorCommand::word).collect())
}

fn refused(status: CampaignStatus, planned: bool, goes_back: bool) -> Option<WhyNot> {
    let refused = status.refused_commands(planned, goes_back);
    Some(why_not(refused.into_iter().map(|(command, refusal)| (command.word(), refusal))))
}

impl CampaignBody {
    /// After a command.
    pub(super) fn done(id: CampaignId, done: &Done<Campaign>) -> Result<Self, Problem> {
        Self::of(id, &done.aggregate, done.origin.as_deref(), &done.times, done.version)
            .ok_or_else(|| Problem::internal("a campaign without specification"))
    }

    /// At an earlier time.
    pub(super) fn past(id: CampaignId, loaded: &Loaded<Campaign>) -> Option<Self> {
        let body = Self::of(id, &loaded.aggregate, loaded.origin.as_deref(), &loaded.times, loaded.version)?;
        Some(Self { allowed_commands: None, why_not: None, ..body })
    }

    #[must_use]
    pub(super) fn waiting_for(self, waits_for: Vec<WaitBody>) -> Self {
        Self { waits_for: Some(waits_for), ..self }
    }

    fn of(id: CampaignId, campaign: &Campaign, origin: Option<&Origin>, times: &Times, version: u64) -> Option<Self> {
        let spec = campaign.spec.as_ref()?;
        let started_at = started_at(campaign, times);
        let ends = ["campaign.finished", "campaign.cancelled", "campaign.rolled_back"];
        let ended_at = ends.iter().filter_map(|end| times.of(end)).max();
        let default_end = started_at.map(|at| at + chrono::TimeDelta::days(ENDS_AFTER_DAYS));
        let gate = |event| serde_json::to_value(event).ok();
        Some(Self {
            campaign_id: id.to_string(),
            status: campaign.status.word().to_owned(),
            approval: campaign.decision.as_ref().map(|decision| {
                let word = decision_word(decision.approved).word();
                let (by, at) = (decision.by.to_string(), times.of(&format!("campaign.{word}")));
                ApprovalBody { decision: word, by, at, remark: None }
            }),
            allowed_commands: allowed(campaign.status, campaign.summary.is_some(), campaign.is_rolling_back()),
            why_not: refused(campaign.status, campaign.summary.is_some(), campaign.is_rolling_back()),
            wave: campaign.wave,
            plan: plan(campaign.summary.as_ref()),
            expected_plan: expected(campaign.expected.as_deref()),
            refused_plan: plan(campaign.refused_plan.as_deref()),
            gate: campaign.closed_gate().and_then(gate),
            last_gate: last_gate(
                campaign.last_gate.as_deref().and_then(gate),
                times.of("campaign.gate_closed"),
                campaign.gate_accepted,
            ),
            created_by: origin.map(|origin| origin.by.to_string()),
            created_at: origin.map(|origin| origin.at),
            started_at,
            ends_at: campaign.ends_at.or(spec.ends_at).or(default_end),
            ends_after_days: ends_after_days(campaign.status, spec.ends_at),
            ended_at: ended_at.filter(|_| campaign.status.is_terminal()),
            waits_for: None,
            version,
            warnings: warnings(spec, campaign.summary.as_ref(), campaign.firmware.as_ref()),
            spec: SpecBody::of(spec),
        })
    }
}

impl From<CampaignRow> for CampaignBody {
    fn from(row: CampaignRow) -> Self {
        let status = CampaignStatus::from_word(&row.status).unwrap_or_default();
        let gate = row.closed_gate().cloned();
        let goes_back =
            status == CampaignStatus::Paused && row.before_pause.as_deref() == Some(CampaignStatus::RollingBack.word());
        Self {
            spec: SpecBody::of(&row.spec),
            approval: row.decision.map(|DecisionRow { approved, by, at, remark }| ApprovalBody {
                decision: decision_word(approved).word(),
                by,
                at: Some(at),
                remark,
            }),
            allowed_commands: allowed(status, row.summary.is_some(), goes_back),
            why_not: refused(status, row.summary.is_some(), goes_back),
            wave: row.wave,
            plan: plan(row.summary.as_ref()),
            expected_plan: expected(row.expected_plan.as_ref()),
            refused_plan: plan(row.refused_plan.as_ref()),
            gate,
            last_gate: last_gate(row.gate.clone(), row.gate_closed_at, row.gate_accepted),
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            started_at: row.started_at,
            ends_at: row.ends_at.or(row.spec.ends_at),
            ends_after_days: ends_after_days(status, row.spec.ends_at),
            ended_at: row.ended_at,
            waits_for: None,
            version: row.version,
            warnings: warnings(&row.spec, row.summary.as_ref(), None),
            campaign_id: row.campaign_id,
            status: row.status,
        }
    }
}

/// When it was started; none if the start was refused.
pub(super) fn started_at(campaign: &Campaign, times: &Times) -> Option<DateTime<Utc>> {
    times.of("campaign.planning_started").filter(|_| campaign.plan.is_some())
}

fn expected(plan: Option<&ExpectedPlan>) -> Option<Value> {
    plan.and_then(|plan| serde_json::to_value(plan).ok())
}

fn plan(summary: Option<&PlanSummary>) -> Option<Value> {
    summary.and_then(|summary| serde_json::to_value(summary).ok())
}

fn ends_after_days(status: CampaignStatus, named: Option<DateTime<Utc>>) -> Option<i64> {
    let is_before = status.is_unstarted() || status == CampaignStatus::Scheduled;
    (is_before && named.is_none()).then_some(ENDS_AFTER_DAYS)
}

/// A gate that closed, and whether its failures were accepted.
pub(super) fn last_gate(gate: Option<Value>, closed_at: Option<DateTime<Utc>>, accepted: bool) -> Option<Value> {
    let mut gate = gate?;
    gate["closed_at"] = json!(closed_at);
    gate["accepted"] = json!(accepted);
    Some(gate)
}

/// Path of a campaign.
pub(super) fn location(id: CampaignId) -> String {
    format!("/api/v1/campaigns/{id}")
}

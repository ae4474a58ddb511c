//! A campaign as replies show it, from its aggregate or from the read model.

use chrono::{DateTime, Utc};
use domain::CampaignId;
use domain::campaign::{Campaign, PlanSummary};
use projections::campaigns::CampaignRow;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::spec::{SpecBody, warnings};
use crate::http::{Done, Problem};

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignBody {
    pub(crate) campaign_id: String,
    /// `draft`, `planning`, `running`, `paused`, `cancelling`, `cancelled`, `completed`, `completed_with_failures` or `failed`; more may
    /// come.
    status: String,
    #[serde(flatten)]
    spec: SpecBody,
    /// The open wave, 0 before the first.
    wave: u16,
    /// What planning came to: chunks, devices, exclusions by reason, waves, seed, position, hash.
    #[schema(value_type = Option<Object>)]
    plan: Option<Value>,
    /// The latest gate that closed, with its evidence. Null in replies to commands, as are `started_at` and `ended_at`: ask for the
    /// campaign.
    #[schema(value_type = Option<Object>)]
    gate: Option<Value>,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// Number of the campaign's events: its `ETag`.
    version: u64,
    /// What its creator should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl CampaignBody {
    /// As a command left it.
    pub(super) fn done(id: CampaignId, done: &Done<Campaign>) -> Result<Self, Problem> {
        let (campaign, origin) = (&done.aggregate, done.origin.as_deref());
        let spec = campaign.spec.as_ref().ok_or_else(|| Problem::internal("a campaign without specification"))?;
        Ok(Self {
            campaign_id: id.to_string(),
            status: campaign.status.word().to_owned(),
            spec: SpecBody::of(spec),
            wave: campaign.wave,
            plan: plan(campaign.summary.as_ref()),
            gate: None,
            created_by: origin.map(|origin| origin.by.to_string()),
            created_at: origin.map(|origin| origin.at),
            started_at: None,
            ended_at: None,
            version: done.version,
            warnings: warnings(spec),
        })
    }
}

impl From<CampaignRow> for CampaignBody {
    fn from(row: CampaignRow) -> Self {
        Self {
            campaign_id: row.campaign_id,
            status: row.status,
            spec: SpecBody::of(&row.spec),
            wave: row.wave,
            plan: plan(row.summary.as_ref()),
            gate: row.gate,
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            started_at: row.started_at,
            ended_at: row.ended_at,
            version: row.version,
            warnings: warnings(&row.spec),
        }
    }
}

fn plan(summary: Option<&PlanSummary>) -> Option<Value> {
    summary.and_then(|summary| serde_json::to_value(summary).ok())
}

/// Where a campaign is found.
pub(super) fn location(id: CampaignId) -> String {
    format!("/api/v1/campaigns/{id}")
}

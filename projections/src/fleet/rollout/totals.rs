//! Totals over all members of a campaign, from the counts of its waves.

use std::collections::BTreeMap;

use domain::campaign::PlanSummary;
use domain::{CampaignId, TenantId};
use sqlx::types::Json;

use super::member_state::EXCLUDED;
use super::rows::{ProgressRow, progress};
use crate::db::{DbError, ReadTx};

/// Totals over the members of a campaign.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Members by phase; a phase without members is left out.
    pub status_counts: BTreeMap<String, u64>,
    /// Of these, members whose update ended without success and whose device reports the version now.
    pub late_confirmed: u64,
    /// Members that a retry would reset.
    pub retryable: u64,
    /// Members that are failed now: the sum is `failed` of [`ProgressRow`] over all waves.
    pub failures_by_code: BTreeMap<String, u64>,
    /// Attempts beyond the first of each update.
    pub retries: u64,
    /// Mean seconds from the first `received` to the confirmation.
    pub average_update_seconds: Option<f64>,
}

/// Totals of a campaign.
pub async fn totals(tx: &mut ReadTx, tenant: &TenantId, campaign: &CampaignId) -> Result<Totals, DbError> {
    let waves = progress(tx, tenant, campaign).await?;
    let summary: Option<Json<PlanSummary>> =
        sqlx::query_scalar("SELECT summary FROM campaigns WHERE tenant = $1 AND campaign_id = $2")
            .bind(tenant.as_str())
            .bind(campaign.to_string())
            .fetch_optional(&mut *tx.0)
            .await?
            .flatten();
    Ok(totals_of(&waves, summary.as_deref()))
}

/// Totals over all waves and the excluded devices of the plan.
pub fn totals_of(waves: &[ProgressRow], summary: Option<&PlanSummary>) -> Totals {
    let count = |value: i64| value.max(0) as u64;
    let mut totals = Totals::default();
    let excluded =
        summary.iter().flat_map(|summary| summary.excluded.values()).map(|devices| u64::from(*devices)).sum();
    if excluded > 0 {
        totals.status_counts.insert(EXCLUDED.to_owned(), excluded);
    }
    let (mut confirmed, mut confirmed_ms) = (0, 0);
    for wave in waves {
        for (phase, members) in &wave.phases {
            *totals.status_counts.entry(phase.clone()).or_insert(0) += count(*members);
        }
        for (code, members) in &wave.failures {
            *totals.failures_by_code.entry(code.clone()).or_insert(0) += count(*members);
        }
        totals.late_confirmed += count(wave.late_confirmed);
        totals.retryable += count(wave.retryable);
        totals.retries += count(wave.retries);
        (confirmed, confirmed_ms) = (confirmed + wave.counts.confirmed, confirmed_ms + wave.confirmed_ms);
    }
    totals.average_update_seconds = (confirmed > 0).then(|| confirmed_ms as f64 / 1_000.0 / confirmed as f64);
    totals
}

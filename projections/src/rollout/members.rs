//! What operators ask of a campaign's members.

use chrono::{DateTime, Utc};
use domain::device::Exclusion;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;

use super::bulk::RETRIED;
use super::rows::MemberRow;
use crate::db::{DbError, ReadTx};
use crate::models::wait_reason::WaitReasonSql;
use crate::table::{Page, Select};

/// Whether a retry would find anybody.
pub async fn is_retryable(tx: &mut ReadTx, campaign: &str) -> Result<bool, DbError> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM rollout_members m
         JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
         WHERE m.campaign_id = $1 AND {RETRIED})"
    );
    Ok(sqlx::query_scalar(&sql).bind(campaign).fetch_one(&mut *tx.0).await?)
}

/// A member's phase as operators see it: where replies, counts and filters agree.
fn phase_of(member: &str) -> String {
    format!(
        "CASE WHEN {member}.excluded IS NOT NULL THEN 'excluded' WHEN {member}.regressed_at IS NOT NULL THEN 'regressed' ELSE {member}.phase END"
    )
}

/// Members that replies count beside their phase: ended without success, and yet seen with the campaign's version since.
pub const LATE_CONFIRMED: &str = "late_confirmed";

/// Devices whose reason to wait is looked at, of one campaign: enough to say what holds it.
const REASONS_COUNTED_MAX: i64 = 1_000;

/// Which members to list.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Any of them, or [`LATE_CONFIRMED`]; all when empty.
    pub phases: Vec<String>,
    pub wave: Option<u16>,
    pub excluded: Option<LeftOut>,
}

/// Members by whether they are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    Yes,
    No,
    For(Exclusion),
}

/// A member as operators see it: `wait_reason` says why it waits now, or why its update doesn't begin although its wave is open.
pub type MemberView = MemberRow;

const WAITER: WaitReasonSql = WaitReasonSql {
    devices: "rollout_devices",
    online: "d.online",
    preconditions: "(c.spec->'preconditions')",
    of_campaign: "true",
    paused: "c.status = 'paused'",
    goes_first: "c.spec->>'priority' = 'critical'",
};
/// Its update waits, or it is the member's turn and there is none yet. A slot that is granted is on its way.
const WAITS: &str = "(t.excluded IS NULL AND (t.phase = 'waiting' OR (t.phase = 'planned' AND NOT t.holds_slot
    AND c.status IN ('running', 'paused') AND t.wave BETWEEN 1 AND c.wave)))";

fn columns(now: DateTime<Utc>) -> String {
    let reason = WAITER.reason(now);
    format!(
        "to_jsonb(t) || jsonb_build_object('wait_reason', CASE WHEN {WAITS} THEN coalesce({reason}, t.wait_reason) END)"
    )
}

/// A campaign's devices as they are at `now`, in its order; those left out at the end.
pub async fn members(
    tx: &mut ReadTx,
    campaign: &str,
    filter: &MemberFilter,
    now: DateTime<Utc>,
    after: Option<(u16, u32, &str)>,
    limit: usize,
    count: bool,
) -> Result<Page<MemberView>, DbError> {
    let mut select = Select::from(
        "rollout_members t JOIN rollout_campaigns c ON c.tenant = t.tenant AND c.campaign_id = t.campaign_id AND c.plan = t.plan",
    );
    select.filter("t.campaign_id = $ #>> '{}'", campaign);
    if !filter.phases.is_empty() {
        let condition = format!(
            "ARRAY[{}, CASE WHEN t.late_confirmed THEN '{LATE_CONFIRMED}' END] && ARRAY(SELECT jsonb_array_elements_text($))",
            phase_of("t")
        );
        select.filter(&condition, Value::from(filter.phases.clone()));
    }
    if let Some(wave) = filter.wave {
        select.filter("t.wave = ($)::bigint", wave);
    }
    match filter.excluded {
        Some(LeftOut::Yes) => select.filter("(t.excluded IS NOT NULL) = ($)::boolean", true),
        Some(LeftOut::No) => select.filter("(t.excluded IS NOT NULL) = ($)::boolean", false),
        Some(LeftOut::For(reason)) => select.filter("t.excluded = $ #>> '{}'", reason.word()),
        None => {}
    }
    let after = after.map(|(wave, rank, device)| {
        let condition = "(t.wave, t.rank, t.device_id) > (($)::bigint, ($)::bigint, $ #>> '{}')".to_owned();
        (condition, vec![Value::from(wave), Value::from(rank), Value::from(device)])
    });
    let order = "t.wave, t.rank, t.device_id";
    let (items, more, total) = select.page::<MemberRow>(tx, &columns(now), order, after, limit, count).await?;
    let next = items
        .last()
        .filter(|_| more)
        .map(|member| vec![member.wave.to_string(), member.rank.to_string(), member.device_id.clone()]);
    Ok(Page { items, next, total })
}

/// Devices of the open wave (after the last one of all waves) that neither work nor could begin now, by the reason why they wait; those
/// that have deferred are `deferred`. Of many only the first are looked at.
pub async fn wait_reasons(
    tx: &mut ReadTx,
    campaign: &str,
    now: DateTime<Utc>,
) -> Result<std::collections::BTreeMap<String, u64>, DbError> {
    let reason = WAITER.reason(now);
    let sql = format!(
        "SELECT r.reason, count(*) AS members FROM (
           SELECT CASE WHEN t.phase IN ('deferred', 'staged') THEN t.phase
                       ELSE coalesce({reason}, t.wait_reason, 'slot') END AS reason
           FROM rollout_members t
           JOIN rollout_campaigns c ON c.tenant = t.tenant AND c.campaign_id = t.campaign_id AND c.plan = t.plan
           WHERE t.campaign_id = $1 AND NOT t.holds_slot AND t.ended_at IS NULL AND t.wave BETWEEN 1 AND c.wave
             AND (c.wave_completed OR t.wave = c.wave)
             AND t.phase IN ('planned', 'queued', 'waiting', 'deferred', 'staged') AND t.excluded IS NULL
           LIMIT {REASONS_COUNTED_MAX}) r
         WHERE r.reason <> 'slot' GROUP BY 1"
    );
    let rows = sqlx::query(&sql).bind(campaign).fetch_all(&mut *tx.0).await?;
    rows.iter().map(|row| Ok((row.try_get("reason")?, row.try_get::<i64, _>("members")? as u64))).collect()
}

/// Totals over all members of a campaign.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    pub status_counts: std::collections::BTreeMap<String, u64>,
    /// Of them, those whose update ended otherwise and whose device says now that it runs the version.
    pub late_confirmed: u64,
    /// Those that a retry would let begin again.
    pub retryable: u64,
    /// Those that are failed now: their sum is `failed` of [`super::ProgressRow`] over all waves.
    pub failures_by_code: std::collections::BTreeMap<String, u64>,
    /// Attempts beyond the first of each update.
    pub retries: u64,
    /// Mean seconds from the first `received` to the confirmation.
    pub average_update_seconds: Option<f64>,
}

/// Members by phase, failed ones by code, retries and mean duration.
pub async fn totals(tx: &mut ReadTx, campaign: &str) -> Result<Totals, DbError> {
    let sql = format!(
        "SELECT
        {phase} AS phase,
        CASE WHEN {phase} = ANY ('{{failed,timed_out,rejected,regressed}}') THEN coalesce(m.code, 'unknown') END AS code,
        count(*) AS members,
        count(*) FILTER (WHERE m.late_confirmed) AS late,
        count(*) FILTER (WHERE {RETRIED}) AS retryable,
        coalesce(sum(greatest(m.attempt - 1, 0)), 0)::bigint AS retries,
        sum(extract(epoch FROM m.ended_at - m.reached_at)) FILTER (WHERE m.phase = 'confirmed')::float8 AS seconds
        FROM rollout_members m
        JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
        WHERE m.campaign_id = $1 GROUP BY 1, 2",
        phase = phase_of("m")
    );
    let rows = sqlx::query(&sql).bind(campaign).fetch_all(&mut *tx.0).await?;
    let mut totals = Totals::default();
    let (mut seconds, mut confirmed) = (0.0, 0_u64);
    for row in &rows {
        let (phase, members): (String, i64) = (row.try_get("phase")?, row.try_get("members")?);
        *totals.status_counts.entry(phase.clone()).or_insert(0) += members as u64;
        totals.late_confirmed += row.try_get::<i64, _>("late")? as u64;
        totals.retryable += row.try_get::<i64, _>("retryable")? as u64;
        if let Some(code) = row.try_get::<Option<String>, _>("code")? {
            *totals.failures_by_code.entry(code).or_insert(0) += members as u64;
        }
        totals.retries += row.try_get::<i64, _>("retries")? as u64;
        if phase == "confirmed" {
            seconds += row.try_get::<Option<f64>, _>("seconds")?.unwrap_or(0.0);
            confirmed += members as u64;
        }
    }
    totals.average_update_seconds = (confirmed > 0).then(|| seconds / confirmed as f64);
    Ok(totals)
}

//! `GET /campaigns/{id}/status`, `GET /ota/campaigns/{id}/status` and `GET /stats/campaigns/{id}`: a campaign's progress.
//!
//! The counts are the ones that its gates judge, from one table.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::CampaignId;
use domain::rollout::{Counts, RollbackView};
use projections::FLEET;
use projections::campaigns::CampaignRow;
use projections::rollout::{CampaignRollback, ProgressRow, totals_of};
use runtime::clock;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::get;
use super::members::{OF_ROLLBACK, WITHOUT_PHASE};
use super::model::last_gate;
use super::waits::{self, WaitBody};
use crate::auth::Caller;
use crate::download::DownloadsBody;
use crate::http::path::CampaignPath;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::legacy_status::phases;
use crate::state::App;

/// Below this number of settled devices no end is estimated.
const ETA_MIN_SETTLED: u64 = 20;

/// Counts of one wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaveStatus {
    /// From 1.
    wave: u16,
    opened_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    /// Its devices.
    enrolled: u64,
    /// Those of its devices that have answered.
    reached: u64,
    confirmed: u64,
    failed: u64,
    /// Counted as failed by the failure gate, also while another attempt follows.
    gate_failed: u64,
    /// Confirmed once, or counted as failed by the gate.
    gate_settled: u64,
    /// Slots in use.
    in_use: u64,
    /// The part of `in_use` that LoRaWAN devices have.
    lorawan_in_use: u64,
    working: u64,
    /// Have staged the version (blue/green) and do not run it yet.
    staged: u64,
    expired: u64,
    cancelled: u64,
    superseded: u64,
}

/// A campaign's rollback.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RollbackStatus {
    /// `manual`, or `automatic`: a gate began it.
    mode: &'static str,
    requested_by: String,
    reason: Option<String>,
    since: DateTime<Utc>,
    rolled_back: u64,
    failed: u64,
    /// Devices whose rollback is under way or waits.
    rolling_back: u64,
    /// Devices that have yet to go back and can; null after the rollback has ended.
    waiting: Option<u64>,
    /// Devices that can't go back, by reason. After the rollback has ended: the numbers at its end.
    impossible: Option<BTreeMap<String, u64>>,
}

impl RollbackStatus {
    fn of(begun: CampaignRollback, total: &Counts, view: Option<&RollbackView>) -> Self {
        Self {
            mode: if begun.automatic { "automatic" } else { "manual" },
            requested_by: begun.requested_by,
            reason: begun.reason,
            since: begun.since,
            rolled_back: total.rolled_back.into(),
            failed: total.rollback_failed.into(),
            rolling_back: total.rolling_back.into(),
            waiting: view.map(|view| view.waiting.into()),
            impossible: match (view, begun.ended) {
                (Some(view), _) => Some(
                    view.impossible
                        .iter()
                        .map(|(obstacle, devices)| (obstacle.word().to_owned(), (*devices).into()))
                        .collect(),
                ),
                (None, ended) => ended.map(|ended| {
                    ended.impossible.into_iter().map(|(reason, devices)| (reason, devices.into())).collect()
                }),
            },
        }
    }
}

/// A campaign's progress.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct CampaignStatusBody {
    campaign_id: String,
    status: String,
    /// The open wave, 0 before the first.
    wave: u16,
    enrolled: u64,
    reached: u64,
    confirmed: u64,
    /// Failed, timed out, rejected or fallen back. Changes after the campaign's end are not counted: a device that falls back then is
    /// `regressed` only in its updates.
    failed: u64,
    /// Confirmed and failed.
    settled: u64,
    /// Devices with an outcome (confirmed, failed, expired, cancelled or superseded) / enrolled. 100 in every campaign that has
    /// ended.
    progress_percent: f64,
    /// Devices by phase, with `planned` and `excluded`; each is in one of them.
    status_counts: BTreeMap<String, u64>,
    /// Devices whose update ended otherwise (failed, timed out, …) and that now report in `status` that they run the version. An ended
    /// update stays ended, so each is also counted under its phase.
    late_confirmed: u64,
    /// Devices that `POST /campaigns/{id}/retry` would retry: failed, expired or fallen back, without those of `late_confirmed`.
    retryable: u64,
    waves: Vec<WaveStatus>,
    /// confirmed / settled, in percent; null while no device is settled.
    success_rate: Option<f64>,
    failure_rate: Option<f64>,
    average_update_seconds: Option<f64>,
    /// Bytes that its devices have downloaded; the same as `downloads.bytes`.
    bytes: u64,
    downloads: DownloadsBody,
    retries: u64,
    /// Devices that went back.
    rollbacks: u64,
    /// The campaign's rollback; null if it was never rolled back.
    rollback: Option<RollbackStatus>,
    /// Devices that are `failed`, by code. Devices that try again or were confirmed are not included; see `retries`.
    failures_by_code: BTreeMap<String, u64>,
    /// Excluded devices, by reason.
    #[schema(value_type = Object)]
    excluded: Value,
    /// What the campaign waits for; empty if it continues by itself or has ended.
    waits_for: Vec<WaitBody>,
    /// The gate that currently stops the campaign, with its evidence; null after its failures are accepted, or the campaign is cancelled or
    /// ends.
    #[schema(value_type = Option<Object>)]
    gate: Option<Value>,
    /// The latest gate that closed, with `closed_at` and whether its failures were `accepted`.
    #[schema(value_type = Option<Object>)]
    last_gate: Option<Value>,
    started_at: Option<DateTime<Utc>>,
    /// When waiting updates expire; the campaign ends when updates under way have ended.
    ends_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// Estimated end at the current pace; null until 20 devices are settled.
    eta: Option<DateTime<Utc>>,
}

/// Get a campaign's progress
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/status", tag = "campaigns", params(CampaignPath, PositionParams),
    responses((status = 200, body = CampaignStatusBody))
)]
pub(crate) async fn campaign_status(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    min_position: MinPosition,
) -> Result<Json<CampaignStatusBody>, Problem> {
    status(&app, &caller, path.campaign_id, min_position).await
}

/// Get a campaign's progress (old spelling)
#[utoipa::path(
    get, path = "/ota/campaigns/{campaign_id}/status", tag = "campaigns", params(CampaignPath, PositionParams),
    responses((status = 200, body = CampaignStatusBody))
)]
pub(crate) async fn ota_campaign_status(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    min_position: MinPosition,
) -> Result<Json<CampaignStatusBody>, Problem> {
    status(&app, &caller, path.campaign_id, min_position).await
}

/// Get a campaign's statistics
///
/// The same as its progress.
#[utoipa::path(
    get, path = "/stats/campaigns/{campaign_id}", tag = "campaigns", params(CampaignPath, PositionParams),
    responses((status = 200, body = CampaignStatusBody))
)]
pub(crate) async fn campaign_stats(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    min_position: MinPosition,
) -> Result<Json<CampaignStatusBody>, Problem> {
    status(&app, &caller, path.campaign_id, min_position).await
}

async fn status(
    app: &App,
    caller: &Caller,
    id: CampaignId,
    min_position: MinPosition,
) -> Result<Json<CampaignStatusBody>, Problem> {
    min_position.wait(app, caller, &[FLEET]).await?;
    let (mut tx, row) = get::row(app, caller, id, &[FLEET]).await?;
    let waves = projections::rollout::progress(&mut tx, &caller.tenant, &id).await?;
    let downloads = projections::downloads::of_campaign(&mut tx, &id).await?.into();
    let now = clock::now();
    let waits_for = waits::of_campaign(&mut tx, &caller.tenant, &id, &row, now).await?;
    let begun = projections::rollout::rollback(&mut tx, &caller.tenant, &id).await?;
    let rollback = match begun {
        None => None,
        Some(begun) => {
            let view = projections::rollout::view_in(&mut tx, &caller.tenant, &id, now).await?;
            let view = view.and_then(|view| view.rollout.rollback);
            Some(RollbackStatus::of(begun, &total_of(&waves), view.as_ref()))
        }
    };
    Ok(Json(CampaignStatusBody { waits_for, rollback, ..body(row, &waves, downloads, now) }))
}

fn body(row: CampaignRow, waves: &[ProgressRow], downloads: DownloadsBody, now: DateTime<Utc>) -> CampaignStatusBody {
    let total = total_of(waves);
    let (enrolled, confirmed, failed) = (total.enrolled.into(), total.confirmed.into(), total.failed.into());
    let settled = confirmed + failed;
    let gate = row.closed_gate().cloned();
    let last_gate = last_gate(row.gate, row.gate_closed_at, row.gate_accepted);
    let totals = totals_of(waves, row.summary.as_ref());
    let excluded = row.summary.as_ref().and_then(|summary| serde_json::to_value(&summary.excluded).ok());
    CampaignStatusBody {
        campaign_id: row.campaign_id,
        status: row.status,
        wave: row.wave,
        enrolled,
        reached: total.reached.into(),
        confirmed,
        failed,
        settled,
        progress_percent: progress(&total, row.ended_at.is_some()),
        status_counts: all_counts(totals.status_counts),
        late_confirmed: totals.late_confirmed,
        retryable: totals.retryable,
        waves: waves.iter().map(WaveStatus::from).collect(),
        success_rate: percent(confirmed, settled),
        failure_rate: percent(failed, settled),
        average_update_seconds: totals.average_update_seconds,
        bytes: downloads.bytes,
        downloads,
        retries: totals.retries,
        rollbacks: total.rolled_back.into(),
        rollback: None,
        failures_by_code: totals.failures_by_code,
        excluded: excluded.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        waits_for: vec![],
        gate,
        last_gate,
        eta: eta(row.started_at.filter(|_| row.ended_at.is_none()), now, settled, enrolled),
        started_at: row.started_at,
        ends_at: row.ends_at.or(row.spec.ends_at),
        ended_at: row.ended_at,
    }
}

impl From<&ProgressRow> for WaveStatus {
    fn from(row: &ProgressRow) -> Self {
        let counts = row.counts;
        Self {
            wave: row.wave,
            opened_at: row.opened_at,
            completed_at: row.completed_at,
            enrolled: counts.enrolled.into(),
            reached: counts.reached.into(),
            confirmed: counts.confirmed.into(),
            failed: counts.failed.into(),
            gate_failed: counts.gate_failed.into(),
            gate_settled: counts.gate_settled.into(),
            in_use: counts.in_use.into(),
            lorawan_in_use: counts.lorawan_in_use.into(),
            working: counts.working.into(),
            staged: counts.staged.into(),
            expired: counts.expired.into(),
            cancelled: counts.cancelled.into(),
            superseded: counts.superseded.into(),
        }
    }
}

/// All phases, with zero for those without devices.
fn all_counts(counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let names = phases().chain(WITHOUT_PHASE).chain(OF_ROLLBACK);
    let mut all: BTreeMap<String, u64> = names.map(|name| (name.to_owned(), 0)).collect();
    all.extend(counts);
    all
}

/// Counts the devices that the campaign's end needs.
fn progress(total: &Counts, has_ended: bool) -> f64 {
    match has_ended {
        true => 100.0,
        false => percent(total.ended().into(), total.enrolled.into()).unwrap_or(0.0),
    }
}

fn total_of(waves: &[ProgressRow]) -> Counts {
    waves.iter().fold(Counts::default(), |total, wave| total.plus(wave.counts))
}

/// With one decimal; none if the total is zero.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 1_000.0 / whole as f64).round() / 10.0)
}

/// When all devices are settled if the pace since the start continues.
fn eta(started_at: Option<DateTime<Utc>>, now: DateTime<Utc>, settled: u64, enrolled: u64) -> Option<DateTime<Utc>> {
    let elapsed_s = (now - started_at?).num_seconds().max(0) as f64;
    if settled < ETA_MIN_SETTLED || settled >= enrolled {
        return None;
    }
    let left_s = elapsed_s * (enrolled - settled) as f64 / settled as f64;
    now.checked_add_signed(TimeDelta::try_seconds(left_s as i64)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_counts_as_progress() {
        let wave = |counts| ProgressRow { counts, ..ProgressRow::default() };
        let first = Counts { enrolled: 8, confirmed: 1, failed: 1, expired: 1, cancelled: 1, ..Counts::default() };
        let second = Counts { enrolled: 2, superseded: 1, ..Counts::default() };
        let total = total_of(&[wave(first), wave(second)]);
        assert_eq!((progress(&total, false), progress(&total, true)), (50.0, 100.0));
        let expired = Counts { enrolled: 3, expired: 3, ..Counts::default() };
        let nobody = Counts::default();
        assert_eq!((progress(&expired, false), progress(&nobody, false), progress(&nobody, true)), (100.0, 0.0, 100.0));
    }

    #[test]
    fn shares_of_nothing_are_unknown() {
        assert_eq!(percent(1, 0), None);
        assert_eq!(percent(1, 3), Some(33.3));
        assert_eq!(percent(3, 3), Some(100.0));
    }

    #[test]
    fn an_end_is_foretold_from_twenty_settled_devices_on() {
        let start = DateTime::UNIX_EPOCH;
        let now = start + TimeDelta::seconds(100);
        assert_eq!(eta(Some(start), now, 19, 100), None);
        assert_eq!(eta(Some(start), now, 50, 100), Some(now + TimeDelta::seconds(100)));
        assert_eq!(eta(Some(start), now, 100, 100), None);
        assert_eq!(eta(None, now, 50, 100), None);
    }
}

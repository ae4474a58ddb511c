//! `GET /campaigns/{id}/gates`: the results of its gates, the current ones from the read model and the recorded ones from EVENTS.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Key;
use domain::campaign::{Campaign, Evidence, GateResult};
use event_store::{Entry, EventToken, PositionToken};
use projections::FLEET;
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::get;
use crate::auth::Caller;
use crate::http::path::CampaignPath;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem};
use crate::state::App;

/// Most events of a campaign that are read for its gates; a campaign has about ten for each wave.
const EVENTS_READ_MAX: usize = 20_000;

/// One result of a gate.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "gate": "failure", "wave": 2, "verdict": "closed", "measured_percent": 33, "bound": "at_most", "limit_percent": 20, "enrolled": 40,
    "reached": 14, "settled": 12, "confirmed": 8, "failed": 4, "staged": 0, "devices": ["d-7", "d-9"], "sentence": "4 of 12 settled devices failed: 33 %, and at most 20 % is the rule",
    "judged_at_position": "1790000000123-41", "position": "1790000000123-42.0",
    "at": "2030-03-07T22:14:09Z",
}))]
pub(crate) struct GateBody {
    /// `failure`, `success`, `too_few_reached` (the success gate, if too few devices have an outcome) or `rollback` (too many rollbacks failed).
    gate: &'static str,
    /// Null for the whole campaign, and for the staging of blue/green.
    wave: Option<u16>,
    /// `passed`, `held` (still within the limit after the soak), `broken` (no longer within it while soaking), `closed` (it stopped the campaign)
    /// or `undecided`.
    verdict: &'static str,
    /// Whole percent, compared with the limit. Failure and rollback: failed / settled; success: confirmed / settled, while staging confirmed and
    /// staged / settled; too_few_reached: settled / enrolled.
    measured_percent: u32,
    /// `at_most`, `below` or `at_least`: how the measured value must compare with the limit.
    bound: &'static str,
    limit_percent: u8,
    enrolled: u32,
    reached: u32,
    /// Without failures that an operator has accepted.
    settled: u32,
    confirmed: u32,
    failed: u32,
    staged: u32,
    /// The first failed devices, at most 20.
    devices: Vec<String>,
    /// The measured value and its limit, as a sentence.
    #[schema(example = "4 of 12 settled devices failed: 33 %, and at most 20 % is the rule")]
    sentence: String,
    /// Position of the event; null for a current result.
    position: Option<String>,
    /// The counts show the log up to this position.
    #[schema(example = "1790000000123-41")]
    judged_at_position: String,
    at: DateTime<Utc>,
}

impl GateBody {
    /// `position`: of the event, none for a current result. `incarnation_ms`: of the log.
    pub(super) fn of(result: GateResult, position: Option<String>, incarnation_ms: u64, at: DateTime<Utc>) -> Self {
        let (measured_percent, bound) = (result.measured_percent(), result.bound().word());
        let sentence = result.sentence();
        let GateResult { gate, wave, verdict, limit_percent, evidence } = result;
        let Evidence { enrolled, reached, settled, confirmed, failed, staged, devices, position: sequence } = evidence;
        Self {
            gate: gate.word(),
            wave,
            verdict: verdict.word(),
            measured_percent,
            bound,
            limit_percent,
            enrolled,
            reached,
            settled,
            confirmed,
            failed,
            staged,
            devices: devices.iter().map(ToString::to_string).collect(),
            sentence,
            position,
            judged_at_position: PositionToken { incarnation_ms, sequence }.to_string(),
            at,
        }
    }
}

/// Current and recorded results of gates.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatesBody {
    /// Current results: the failure gate of the open wave and of the whole campaign, and the success gate. Empty unless the campaign is running or
    /// paused.
    now: Vec<GateBody>,
    #[serde(flatten)]
    judged: List<GateBody>,
}

/// List the results of a campaign's gates
///
/// `now` has the current results, `items` the recorded ones, the oldest first. Each has the measured value, its limit and the failed devices that
/// it is based on.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/gates", tag = "campaigns", params(CampaignPath, PageParams),
    responses((status = 200, body = GatesBody))
)]
pub(crate) async fn campaign_gates(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<GatesBody>, Problem> {
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let first = paging.first_number()?;
    let id = path.campaign_id;
    let (mut tx, _) = get::row(&app, &caller, id, &[FLEET]).await?;
    let now = clock::now();
    let view = projections::rollout::view_in(&mut tx, &caller.tenant, &id, now).await?;
    drop(tx);
    let current = view.map(|view| view.rollout.gate_results(now)).unwrap_or_default();
    let mut judged = judged(&app, &Key::new(&caller.tenant, &id)).await?;
    let total = paging.count.then_some(judged.len() as u64);
    judged.retain(|(version, _)| *version >= first);
    let next = judged.get(paging.limit).map(|(version, _)| *version);
    judged.truncate(paging.limit);
    let items = judged.into_iter().map(|(_, gate)| gate).collect();
    let incarnation_ms = app.incarnation_ms().await?;
    let now = current.into_iter().map(|result| GateBody::of(result, None, incarnation_ms, now)).collect();
    Ok(Json(GatesBody { now, judged: paging.numbered(items, next, total) }))
}

/// All recorded results, each with the number of its event.
async fn judged(app: &App, key: &Key<Campaign>) -> Result<Vec<(u64, GateBody)>, Problem> {
    let incarnation_ms = app.incarnation_ms().await?;
    let mut campaign = Campaign::default();
    let mut judged = Vec::new();
    for entry in app.store.entries(key, 1, EVENTS_READ_MAX).await? {
        // What can't be read is shown in the campaign's history.
        let Entry::Event(recorded) = entry else { continue };
        if let Some(result) = campaign.gate_result(&recorded.event) {
            let position = EventToken { incarnation_ms, position: recorded.position }.to_string();
            judged.push((recorded.version, GateBody::of(result, Some(position), incarnation_ms, recorded.recorded_at)));
        }
        campaign.apply(&recorded.event);
    }
    Ok(judged)
}

//! `POST /campaigns/{id}/what-if`: whether other limits would have stopped a campaign, from the archive.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::campaign::Campaign;
use domain::events::{CampaignEvent, DeviceEvent};
use domain::rollout::{OtherLimits, Stop, WhatIf};
use domain::values::Threshold;
use domain::{CampaignId, DeviceId, Key};
use event_store::PositionToken;
use projections::archive::{self, Archived};
use projections::{ARCHIVE, FLEET};
use serde::{Deserialize, Serialize};

use utoipa::ToSchema;

use super::gates::GateBody;
use super::get;
use crate::auth::Caller;
use crate::http::path::CampaignPath;
use crate::http::position::wait_for_own;
use crate::http::problem::ProblemBody;
use crate::http::{Body, MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Most records of a campaign that are read for one answer: about ten for each device.
const RECORDS_READ_MAX: usize = 1_000_000;
/// Records of the whole log that one query scans.
const SPAN_RECORDS: u64 = 100_000;
/// Most records of the whole log that are scanned for one answer.
const LOOKED_THROUGH_MAX: u64 = 50_000_000;

/// At least one limit. Each replaces the campaign's own and those of its waves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"failure_threshold_percent": 5}))]
pub(crate) struct WhatIfRequest {
    #[schema(value_type = Option<u8>)]
    failure_threshold_percent: Option<Threshold>,
    failure_count: Option<u32>,
    gate_min_settled: Option<u32>,
    #[schema(value_type = Option<u8>)]
    success_threshold_percent: Option<Threshold>,
}

impl WhatIfRequest {
    fn limits(self) -> Result<OtherLimits, Problem> {
        let Self { failure_threshold_percent, failure_count, gate_min_settled, success_threshold_percent } = self;
        let limits =
            OtherLimits { failure_threshold_percent, failure_count, gate_min_settled, success_threshold_percent };
        for (field, value) in [("failure_count", failure_count), ("gate_min_settled", gate_min_settled)] {
            if value == Some(0) {
                return Err(Problem::invalid(field, "must be at least 1"));
            }
        }
        if limits == OtherLimits::default() {
            return Err(Problem::invalid("failure_threshold_percent", "give at least one limit"));
        }
        Ok(limits)
    }
}

/// A gate that stops the campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StopBody {
    #[serde(flatten)]
    gate: GateBody,
    /// Devices that had answered their update by then.
    devices_reached: u32,
}

/// Where other limits would have stopped a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhatIfBody {
    campaign_id: String,
    /// The first stop with these limits; null if there is none in what has happened so far.
    would_stop: Option<StopBody>,
    /// The first stop by a gate that really happened; null if there was none.
    stopped: Option<StopBody>,
    /// Devices that have answered their update until now.
    devices_reached: u32,
    /// Devices that answered after `would_stop`: they would not have been updated.
    devices_spared: u32,
    /// Events after this position are not included.
    at_position: String,
    /// What the answer assumes.
    assumes: Vec<&'static str>,
}

/// Ask where other limits would have stopped a campaign
///
/// The gates are run again over the campaign's recorded events, with the limits in the body. Nothing is written, and a running campaign is not
/// changed. 409 while the campaign has no plan; 409 `campaign_too_large` if it has more than 1,000,000 records, or if the whole log has more than
/// 50,000,000 since it was created. 503 `previews_busy` as for previews.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/what-if", tag = "campaigns", request_body = WhatIfRequest,
    params(CampaignPath, PositionParams),
    responses(
        (status = 200, body = WhatIfBody),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many previews and what-if requests at the same time, or PostgreSQL is down", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn what_if(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    min_position: MinPosition,
    Body(request): Body<WhatIfRequest>,
) -> Result<Json<WhatIfBody>, Problem> {
    let limits = request.limits()?;
    let slot = app.previews.slots.of_tenant(&caller.tenant).await?;
    let _slots = app.previews.slots.with_process(slot).await?;
    min_position.wait(&app, &caller, &[FLEET, ARCHIVE]).await?;
    let id = path.campaign_id;
    let (tx, row) = get::row(&app, &caller, id, &[FLEET]).await?;
    drop(tx);
    if row.summary.is_none() {
        return Err(domain::Rejection::IllegalInState { command: "evaluated".to_owned(), status: row.status }.into());
    }
    let shown = app.db.positions().await?.into_iter().find(|(name, _)| name == FLEET).map_or(0, |(_, at)| at);
    let until = if row.ended_at.is_some() { row.position } else { shown.max(row.position) };
    // The archive comes later than what callers were shown.
    wait_for_own(&app, until, &[ARCHIVE]).await?;
    let history = read(&app, &caller, id, limits, until).await?;
    body(&app, id, history, until).await.map(Json)
}

/// The history of the campaign from its creation up to a position of the log.
async fn read(app: &App, caller: &Caller, id: CampaignId, limits: OtherLimits, until: u64) -> Result<WhatIf, Problem> {
    let name = id.to_string();
    let mut history = WhatIf::new(id, limits);
    let created = app.store.history(&Key::<Campaign>::new(&caller.tenant, &id), 1, 1).await?;
    let first = created.first().map_or(0, |created| created.position.sequence - 1);
    if until.saturating_sub(first) > LOOKED_THROUGH_MAX {
        return Err(too_large(format!(
            "the log has more than {LOOKED_THROUGH_MAX} records since the campaign was created"
        )));
    }
    let (mut after, mut count) = (first, 0);
    while after < until {
        let end = until.min(after + SPAN_RECORDS);
        let page = archive::records_of_campaign(&app.db, &caller.tenant, &name, after, end).await?;
        after = page.last().map_or(end, |record| record.position);
        count += page.len();
        if count > RECORDS_READ_MAX {
            return Err(too_large(format!("the campaign has more than {RECORDS_READ_MAX} records")));
        }
        for record in page {
            apply(&mut history, &record)?;
        }
    }
    Ok(history)
}

fn too_large(detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "campaign_too_large", detail)
}

fn apply(history: &mut WhatIf, archived: &Archived) -> Result<(), Problem> {
    let Archived { position, key, record, .. } = archived;
    let at = record.meta.recorded_at;
    match key.kind.as_str() {
        "campaign" => {
            let events = record.decode_events::<CampaignEvent>(*position)?;
            events.iter().for_each(|event| history.apply_campaign(at, *position, event));
        }
        "device" => {
            let Ok(device) = DeviceId::new(key.id.as_str()) else { return Ok(()) };
            let events = record.decode_events::<DeviceEvent>(*position)?;
            events.iter().for_each(|event| history.apply_device(at, *position, &device, event));
        }
        _ => {}
    }
    Ok(())
}

async fn body(app: &App, id: CampaignId, history: WhatIf, last: u64) -> Result<WhatIfBody, Problem> {
    let incarnation_ms = app.incarnation_ms().await?;
    let token = |sequence| PositionToken { incarnation_ms, sequence }.to_string();
    let devices_reached = history.reached();
    let shown = |stop: Stop| {
        let position = Some(token(stop.position));
        StopBody { gate: GateBody::of(stop.result, position, incarnation_ms, stop.at), devices_reached: stop.reached }
    };
    let would_stop = history.would_stop.map(shown);
    let spared = would_stop.as_ref().map_or(0, |stop| devices_reached - stop.devices_reached);
    let mut assumes = vec!["devices report as they did in the campaign"];
    if history.stopped.is_some() {
        assumes.push("devices that never began, because the campaign was stopped, are left out");
    }
    Ok(WhatIfBody {
        campaign_id: id.to_string(),
        would_stop,
        stopped: history.stopped.map(shown),
        devices_reached,
        devices_spared: spared,
        at_position: token(last),
        assumes,
    })
}

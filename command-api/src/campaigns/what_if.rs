//! `POST /campaigns/{id}/what-if`: what a campaign would have done with other settings, from the archive.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::campaign::{Campaign, CampaignResult, GateResult, WaveSpec};
use domain::events::{CampaignEvent, DeviceEvent};
use domain::rollout::{COURSE_DEVICES_MAX, Counts, Course, CourseEnd, Courses, OtherSettings, Stop, WhatIf};
use domain::values::Threshold;
use domain::{CampaignId, DeviceId, Key, Rejection};
use event_store::PositionToken;
use projections::archive::{self, Archived};
use projections::{ARCHIVE, FLEET};
use runtime::clock;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::gates::GateBody;
use super::get;
use super::parts::WaveRequest;
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
/// What courses assume.
const COURSE_ASSUMES: [&str; 5] = [
    "course: each device takes from its turn to its outcome as long as it did; devices of unknown outcome as long as the others usually did",
    "course: the campaign has its latest settings from the start, and no maintenance window, freeze, jitter or end",
    "course: nobody pauses, resumes, retries or cancels it, and waves that an operator opens are opened at once",
    "course: the gates are run at once after each report",
    "course: devices that had no turn have the slots of MQTT devices",
];
/// Most records of the whole log that are scanned for one answer.
const LOOKED_THROUGH_MAX: u64 = 50_000_000;

/// What is absent stays as in the campaign; `{}` tries it with its own settings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"gates": {"failure_threshold_percent": 5}, "waves": [{"percentage": 10}, {"percentage": 100}], "concurrency": 20}))]
pub(crate) struct WhatIfRequest {
    #[serde(default)]
    gates: GateSettings,
    /// As in a campaign: cumulative percentages, the last 100. Not for blue/green.
    #[schema(value_type = Option<Vec<WaveRequest>>)]
    waves: Option<Vec<WaveSpec>>,
    /// Instead of `max_concurrent_updates`: 1 to 100,000. Not for blue/green.
    concurrency: Option<u32>,
}

/// Limits of gates. Each replaces the campaign's own and, unless the request has waves, those of its waves.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateSettings {
    #[schema(value_type = Option<u8>)]
    failure_threshold_percent: Option<Threshold>,
    failure_count: Option<u32>,
    gate_min_settled: Option<u32>,
    #[schema(value_type = Option<u8>)]
    success_threshold_percent: Option<Threshold>,
}

impl WhatIfRequest {
    fn settings(self) -> OtherSettings {
        let GateSettings { failure_threshold_percent, failure_count, gate_min_settled, success_threshold_percent } =
            self.gates;
        OtherSettings {
            failure_threshold_percent,
            failure_count,
            gate_min_settled,
            success_threshold_percent,
            waves: self.waves,
            max_concurrent_updates: self.concurrency,
        }
    }
}

/// A rule of campaigns that the settings break, with the name of the field in this request.
fn refused(rejection: Rejection) -> Problem {
    let Rejection::Invalid { field, reason } = rejection else { return rejection.into() };
    let field = match field.as_str() {
        "max_concurrent_updates" => "concurrency".to_owned(),
        waves if waves.starts_with("waves") => field,
        gate => format!("gates.{gate}"),
    };
    Problem::invalid(field, reason)
}

/// A gate that stops the campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StopBody {
    #[serde(flatten)]
    gate: GateBody,
    /// Devices that had answered their update by then.
    devices_reached: u32,
}

/// A gate that closes in a course.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CourseGateBody {
    /// `failure`, `success` or `too_few_reached`.
    gate: &'static str,
    /// Null for the whole campaign.
    wave: Option<u16>,
    /// Whole percent.
    measured_percent: u32,
    /// `at_most` or `at_least`: how the measured value must compare with the limit.
    bound: &'static str,
    limit_percent: u8,
    /// The measured value and its limit, as a sentence.
    sentence: String,
    /// The first failed devices, at most 20, without those whose outcome is assumed.
    devices: Vec<String>,
}

impl From<GateResult> for CourseGateBody {
    fn from(result: GateResult) -> Self {
        Self {
            gate: result.gate.word(),
            wave: result.wave,
            measured_percent: result.measured_percent(),
            bound: result.bound().word(),
            limit_percent: result.limit_percent,
            sentence: result.sentence(),
            devices: result.evidence.devices.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A course from the start of the campaign to its stop or its end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CourseBody {
    /// `stopped` (by `gate`), `completed`, `completed_with_failures`, `failed`, or `waiting` for what the course leaves out.
    outcome: &'static str,
    /// The gate that stops it; null if none does.
    gate: Option<CourseGateBody>,
    /// Time from the start to the stop or the end, in whole seconds.
    after_seconds: i64,
    /// Devices that had their turn.
    devices_begun: u32,
    /// The part of `devices_begun` whose outcome is assumed.
    devices_assumed: u32,
    devices_reached: u32,
    confirmed: u32,
    failed: u32,
}

impl From<Course> for CourseBody {
    fn from(course: Course) -> Self {
        let (outcome, gate) = match course.end {
            CourseEnd::Stopped(result) => ("stopped", Some(result.into())),
            CourseEnd::Finished(CampaignResult::Completed) => ("completed", None),
            CourseEnd::Finished(CampaignResult::CompletedWithFailures) => ("completed_with_failures", None),
            CourseEnd::Finished(CampaignResult::Failed) => ("failed", None),
            CourseEnd::Waits => ("waiting", None),
        };
        let Counts { reached, confirmed, failed, .. } = course.counts;
        Self {
            outcome,
            gate,
            after_seconds: course.after.num_seconds(),
            devices_begun: course.begun,
            devices_assumed: course.unknown,
            devices_reached: reached,
            confirmed,
            failed,
        }
    }
}

/// What would have happened, computed by the rules of campaigns from what each device did. The truth lies between the two courses: in one all
/// devices of unknown outcome confirm, in the other all fail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CoursesBody {
    /// Devices that take part and have no outcome of their own: they had no turn, have not ended, or were cancelled.
    unknown_devices: u32,
    if_unknown_confirm: CourseBody,
    if_unknown_fail: CourseBody,
}

impl From<Courses> for CoursesBody {
    fn from(courses: Courses) -> Self {
        Self {
            unknown_devices: courses.unknown,
            if_unknown_confirm: courses.if_unknown_confirm.into(),
            if_unknown_fail: courses.if_unknown_fail.into(),
        }
    }
}

/// What a campaign would have done with other settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhatIfBody {
    campaign_id: String,
    /// The first stop with these gates, with all reports in the order in which they came; null if there is none in what has happened so far.
    /// Absent with other waves or another concurrency, which change that order: see `course`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StopBody>)]
    would_stop: Option<Option<StopBody>>,
    /// The first stop by a gate that really happened; null if there was none.
    stopped: Option<StopBody>,
    /// Devices that have answered their update until now.
    devices_reached: u32,
    /// Devices that answered after `would_stop`: they would not have been updated. Absent when that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices_spared: Option<u32>,
    /// Null for blue/green and for campaigns of more than 100,000 devices.
    course: Option<CoursesBody>,
    /// Events after this position are not included.
    at_position: String,
    /// What the answer assumes.
    assumes: Vec<&'static str>,
}

/// Ask what a campaign would have done with other settings
///
/// `would_stop` comes from the campaign's recorded events: the gates are run over them again, with the limits in the body. `course` is a rehearsal
/// of the whole campaign with the settings in the body: the rules of campaigns decide when each device has its turn, and each device then does what
/// it did, in the time that it took. Nothing is written, and a running campaign is not changed. 409 while the campaign has no plan; 409 `no_course` with waves or a concurrency for blue/green or for more than 100,000 devices; 409
/// `campaign_too_large` if it has more than 1,000,000 records, or if the whole log has more than 50,000,000 since it was created. 503
/// `previews_busy` as for previews.
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
    let settings = request.settings();
    let slot = app.previews.slots.of_tenant(&caller.tenant).await?;
    let slots = app.previews.slots.with_process(slot).await?;
    min_position.wait(&app, &caller, &[FLEET, ARCHIVE]).await?;
    let id = path.campaign_id;
    let (tx, row) = get::row(&app, &caller, id, &[FLEET]).await?;
    drop(tx);
    if row.summary.is_none() {
        return Err(domain::Rejection::IllegalInState { command: "evaluated".to_owned(), status: row.status }.into());
    }
    settings.check(&row.spec, clock::now()).map_err(refused)?;
    let shown = app.db.positions().await?.into_iter().find(|(name, _)| name == FLEET).map_or(0, |(_, at)| at);
    let until = if row.ended_at.is_some() { row.position } else { shown.max(row.position) };
    // The archive comes later than what callers were shown.
    wait_for_own(&app, until, &[ARCHIVE]).await?;
    let history = read(&app, &caller, id, settings, until).await?;
    // The slots are free when the work ends, also if the request ends before.
    let computing = spawn_blocking(move || {
        let _slots = slots;
        let courses = history.courses();
        (history, courses)
    });
    let (history, courses) = computing.await.map_err(Problem::internal)?;
    body(&app, id, history, courses, until).await.map(Json)
}

/// The history of the campaign from its creation up to a position of the log.
async fn read(
    app: &App,
    caller: &Caller,
    id: CampaignId,
    settings: OtherSettings,
    until: u64,
) -> Result<WhatIf, Problem> {
    let name = id.to_string();
    let mut history = WhatIf::new(id, settings);
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

async fn body(
    app: &App,
    id: CampaignId,
    history: WhatIf,
    courses: Option<Courses>,
    last: u64,
) -> Result<WhatIfBody, Problem> {
    let incarnation_ms = app.incarnation_ms().await?;
    let token = |sequence| PositionToken { incarnation_ms, sequence }.to_string();
    let devices_reached = history.reached();
    let shown = |stop: &Stop| {
        let position = Some(token(stop.position));
        let gate = GateBody::of(stop.result.clone(), position, incarnation_ms, stop.at);
        StopBody { gate, devices_reached: stop.reached }
    };
    let stopped = history.stopped.as_ref().map(shown);
    let would_stop = history.keeps_the_order().then(|| history.would_stop.as_ref().map(shown));
    let devices_spared =
        would_stop.as_ref().map(|stop| stop.as_ref().map_or(0, |stop| devices_reached - stop.devices_reached));
    let mut assumes = vec!["devices report as they did in the campaign"];
    if stopped.is_some() && would_stop.is_some() {
        assumes.push("devices that never began, because the campaign was stopped, are left out of would_stop");
    }
    match &courses {
        Some(_) => assumes.extend(COURSE_ASSUMES),
        None if would_stop.is_some() => {}
        None => return Err(no_course()),
    }
    Ok(WhatIfBody {
        campaign_id: id.to_string(),
        would_stop,
        stopped,
        devices_reached,
        devices_spared,
        course: courses.map(Into::into),
        at_position: token(last),
        assumes,
    })
}

fn no_course() -> Problem {
    let detail = format!(
        "other waves and another concurrency can be tried for strategies without staging, with up to {COURSE_DEVICES_MAX} devices"
    );
    Problem::new(StatusCode::CONFLICT, "no_course", detail)
}

//! Pause, resume, cancel, open the next wave: a campaign that is under way.

use axum::extract::State;
use domain::campaign::{Campaign, CampaignCommand, CampaignStatus, PauseCause, RollbackCause};
use domain::{CampaignId, Key};
use projections::FLEET;
use runtime::clock;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::model::CampaignBody;
use super::{get, waits};
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::{CampaignPath, WavePath};
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

/// Pause a campaign
///
/// No further device begins; devices that have answered continue. The waiting and soaking clocks stop, but the campaign's end does not
/// move.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/pause", tag = "campaigns", request_body = ReasonRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let command = CampaignCommand::Pause { cause: PauseCause::Operator };
    send(&app, &caller, &envelope, path.campaign_id, command, wanted.reason).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"accept_failures": true, "reason": "flash of batch 7 is worn, others are fine"}))]
pub(crate) struct ResumeRequest {
    /// Required, with a reason, after a gate closed. Failures so far are not counted again.
    #[serde(default)]
    accept_failures: bool,
    reason: Option<String>,
}

/// Resume a campaign
///
/// After a closed gate only with `accept_failures` and a reason.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/resume", tag = "campaigns", request_body = ResumeRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, description = "gate_still_closed, the firmware is withdrawn, or not paused", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ResumeRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let accept_failures = wanted.accept_failures;
    let reason = wanted.reason.as_deref().or(envelope.reason());
    if accept_failures && reason.unwrap_or_default().trim().is_empty() {
        return Err(Problem::invalid("reason", "is needed with accept_failures"));
    }
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(CampaignBody::done(path.campaign_id, &done)?));
    }
    may_go_on(&app, &caller, path.campaign_id).await?;
    send(&app, &caller, &envelope, path.campaign_id, CampaignCommand::Resume { accept_failures }, wanted.reason).await
}

/// A campaign whose firmware was withdrawn would only be paused again.
async fn may_go_on(app: &App, caller: &Caller, id: CampaignId) -> Result<(), Problem> {
    let loaded = app.store.load_fresh(&Key::<Campaign>::new(&caller.tenant, &id)).await?;
    match &loaded.aggregate.spec {
        // A rollback goes on without it.
        Some(spec) if loaded.aggregate.status == CampaignStatus::Paused && !loaded.aggregate.is_rolling_back() => {
            usable_firmware(app, caller, spec.firmware_id).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Cancel a campaign
///
/// Updates that can be taken back are cancelled; installations that have begun finish.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/cancel", tag = "campaigns", request_body = ReasonRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    send(&app, &caller, &envelope, path.campaign_id, CampaignCommand::Cancel, wanted.reason).await
}

/// Roll a campaign back
///
/// Devices that run the campaign's version because of it go back to what they ran before, as updates of kind `rollback` under the campaign's
/// slots and rate. Updates that can be taken back are cancelled; devices past the point of no return go back when they have finished. It
/// pauses when half of the rollbacks fail, once `gate_min_settled` have settled. Devices that can't go back are listed with `rollback_obstacle` by
/// `GET /campaigns/{id}/devices`. 409 `rollback_impossible` if the firmware has `rollback_allowed: false`. A reason is needed.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/rollback", tag = "campaigns", request_body = ReasonRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "no reason", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn roll_back_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    if wanted.reason.as_deref().or(envelope.reason()).unwrap_or_default().trim().is_empty() {
        return Err(Problem::invalid("reason", "is needed for a rollback"));
    }
    let command = CampaignCommand::RollBack { cause: RollbackCause::Operator };
    send(&app, &caller, &envelope, path.campaign_id, command, wanted.reason).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "wave 1 looks good"}))]
pub(crate) struct OpenWaveRequest {
    /// Open it early: while the gate of the wave before is undecided, or while that wave soaks. Needs a reason. Not possible after a closed
    /// gate.
    #[serde(default)]
    force: bool,
    reason: Option<String>,
}

/// Open a wave
///
/// Opens the next wave, if the wave before has `advance: manual` and is completed. Before that the reply is 409 `wave_not_due`, which says
/// what the campaign waits for; with `force` and a reason the wave opens anyway. The failure gate continues to judge the open wave and the
/// whole campaign; the wave before is no longer judged on its own.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/waves/{wave}/open", tag = "campaigns", request_body = OpenWaveRequest,
    params(WavePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, description = "wave_not_due, or the campaign doesn't run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "force without a reason", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open_wave(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<WavePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<OpenWaveRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let reason = wanted.reason.as_deref().or(envelope.reason());
    if wanted.force && reason.unwrap_or_default().trim().is_empty() {
        return Err(Problem::invalid("reason", "is needed with force"));
    }
    let command = CampaignCommand::OpenWave { wave: path.wave, force: wanted.force };
    match send(&app, &caller, &envelope, path.campaign_id, command, wanted.reason).await {
        Err(problem) if problem.code() == "wave_not_due" => {
            Err(with_waits(&app, &caller, path.campaign_id, problem).await)
        }
        outcome => outcome,
    }
}

/// Adds what the campaign waits for, as far as the read models know it.
async fn with_waits(app: &App, caller: &Caller, id: CampaignId, problem: Problem) -> Problem {
    let waiting = async {
        let (mut tx, row) = get::row(app, caller, id, &[FLEET]).await?;
        waits::of_campaign(&mut tx, &caller.tenant, &id, &row, clock::now()).await
    };
    let Ok(waiting) = waiting.await else { return problem };
    let mut facts = problem.facts().cloned().unwrap_or_default();
    facts["waits_for"] = json!(waiting);
    problem.with_facts(facts)
}

async fn send(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: CampaignId,
    command: CampaignCommand,
    reason: Option<String>,
) -> Result<Reply<CampaignBody>, Problem> {
    let done = app.command(caller, envelope, &Key::<Campaign>::new(&caller.tenant, &id), command, reason).await?;
    Ok(done.reply(CampaignBody::done(id, &done)?))
}

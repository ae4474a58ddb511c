//! `POST /updates/{id}/retry`: a new update in place of one that ended.

use axum::extract::State;
use domain::device::{Device, DeviceCommand, Outcome, Phase, Update, UpdateRequest};
use domain::{Key, Rejection};

use super::model::UpdateBody;
use super::order::usable_firmware;
use super::past;
use super::request::queued;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::UpdatePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Retry an update
///
/// Creates a new update with `retry_of`; 409 if the old one has not ended or succeeded.
#[utoipa::path(
    post, path = "/updates/{update_id}/retry", tag = "updates", request_body = ReasonRequest,
    params(UpdatePath, CommandHeaders),
    responses(
        (status = 201, body = WithPosition<UpdateBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry_update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<UpdatePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<UpdateBody>, Problem> {
    let (device, ordinal) = (path.update_id.device, path.update_id.ordinal);
    let key = Key::<Device>::new(&caller.tenant, &device);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return queued(&app, &key, &device, &done).await;
    }
    let loaded = app.store.load_fresh(&key).await?;
    let ended = past::find(&app, &key, &loaded.aggregate, ordinal).await?.ok_or(Rejection::UpdateUnknown)?;
    may_be_retried(&ended)?;
    let rules = app.tenants.rules_of_dispatch(&caller.tenant).await?;
    let firmware = usable_firmware(&app, &caller, ended.spec.firmware.firmware_id).await?;
    let spec = ended.spec;
    let request = Box::new(UpdateRequest {
        firmware,
        priority: spec.priority,
        kind: spec.kind,
        limits: spec.limits,
        max_attempts: spec.max_attempts,
        // The retry belongs to no campaign, so no wave would activate it later.
        activate: true,
        force_update: spec.force_update,
        allow_downgrade: spec.allow_downgrade,
        preconditions: spec.preconditions,
        require_digest_report: spec.require_digest_report || rules.require_digest_report,
        retry_of: Some(ordinal),
        rolls_back: spec.rolls_back,
    });
    let done = app.command(&caller, &envelope, &key, DeviceCommand::RequestUpdate { request }, wanted.reason).await?;
    queued(&app, &key, &device, &done).await
}

fn may_be_retried(update: &Update) -> Result<(), Rejection> {
    match update.phase {
        Phase::Ended(Outcome::Confirmed) => Err(Rejection::UpdateSucceeded),
        Phase::Ended(_) => Ok(()),
        phase => Err(Rejection::UpdateNotEnded { phase: phase.word().to_owned() }),
    }
}

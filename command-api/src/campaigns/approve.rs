//! `POST /campaigns/{id}/approve` and `/reject`: the decision of a second person. Like other commands they need no PostgreSQL.

use axum::extract::State;
use domain::campaign::{Campaign, CampaignCommand};
use domain::{Key, Rejection};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::CampaignBody;
use super::start::{correlation_of, settle_pin, take_pin};
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"remark": "checked with the support team"}))]
pub(crate) struct DecisionRequest {
    /// Also accepted as `reason`. Recorded as the reason of the command. Needed to reject.
    #[serde(alias = "reason")]
    remark: Option<String>,
}

/// Approve a campaign
///
/// For a campaign that was submitted with `start` (`awaiting_approval`). A campaign with a `scheduled_start` in the future is scheduled by
/// it; another one waits for `start`. Any later edit voids the approval. `If-Match` makes sure that the approved version is the one that was
/// read. 403 unless a person asks; 409 `four_eyes` for the creator and the last editor.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/approve", tag = "campaigns", request_body = DecisionRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 403, description = "An API key, a service, or no approver", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "four_eyes, not submitted, or the firmware is withdrawn", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn approve_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<DecisionRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    decide(&app, &caller, &envelope, path, true, wanted.remark).await
}

/// Reject a campaign
///
/// For a campaign that is submitted or approved; needs a remark. The campaign can be changed, which makes it a draft again, or submitted
/// again. 403 unless a person asks; 409 `four_eyes` for the creator and the last editor, who can cancel or change it.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/reject", tag = "campaigns", request_body = DecisionRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 403, description = "An API key, a service, or no approver", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "four_eyes, or neither submitted nor approved", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "No remark", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reject_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<DecisionRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let remark = wanted.remark.as_deref().or(envelope.reason());
    if remark.unwrap_or_default().trim().is_empty() {
        return Err(Problem::invalid("remark", "is needed to reject a campaign"));
    }
    decide(&app, &caller, &envelope, path, false, wanted.remark).await
}

async fn decide(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    path: CampaignPath,
    approves: bool,
    remark: Option<String>,
) -> Result<Reply<CampaignBody>, Problem> {
    let (id, by) = (path.campaign_id, caller.person()?);
    let key = Key::<Campaign>::new(&caller.tenant, &id);
    if let Some(done) = app.repeated(caller, envelope, &key).await? {
        return Ok(done.reply(CampaignBody::done(id, &done)?));
    }
    let loaded = app.store.load_fresh(&key).await?;
    let (Some(origin), Some(spec)) = (&loaded.origin, &loaded.aggregate.spec) else {
        return Err(Rejection::CampaignUnknown.into());
    };
    let creator = origin.by.clone();
    let command = match approves {
        true => CampaignCommand::Approve { by, creator },
        false => CampaignCommand::Reject { by, creator },
    };
    let step = app.command(caller, &envelope.as_dry_run(), &key, command.clone(), remark.clone()).await?;
    let approved = approves && !step.events.is_empty();
    if approved {
        usable_firmware(app, caller, spec.firmware_id).await?;
    }
    let pins = approved && step.aggregate.status.is_live() && !envelope.dry_run;
    let envelope = &envelope.going_on_with(correlation_of(&loaded));
    if pins {
        take_pin(app, caller, envelope, id, spec.firmware_id).await?;
    }
    let outcome = app.command(caller, envelope, &key, command, remark).await;
    if pins {
        settle_pin(app, caller, envelope, id, spec.firmware_id).await?;
    }
    let done = outcome?;
    Ok(done.reply(CampaignBody::done(id, &done)?))
}

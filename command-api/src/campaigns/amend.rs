//! `PUT /campaigns/{id}`: another specification for a draft.

use axum::extract::State;
use domain::Key;
use domain::campaign::{Campaign, CampaignCommand};
use runtime::clock;

use super::model::CampaignBody;
use super::spec::CampaignRequest;
use super::targets::known_targets;
use crate::auth::Operator;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

/// Replace a draft's specification
///
/// Until planning begins; 409 afterwards. Needs role operator.
#[utoipa::path(
    put, path = "/campaigns/{campaign_id}", tag = "campaigns", request_body = CampaignRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn replace_campaign(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<CampaignRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(CampaignBody::done(path.campaign_id, &done)?));
    }
    let reason = wanted.reason.clone();
    let spec = Box::new(wanted.into_spec(clock::now())?);
    usable_firmware(&app, &caller, spec.firmware_id).await?;
    known_targets(&app, &caller, &spec).await?;
    let done = app.command(&caller, &envelope, &key, CampaignCommand::Amend { spec }, reason).await?;
    Ok(done.reply(CampaignBody::done(path.campaign_id, &done)?))
}

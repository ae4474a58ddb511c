//! `PUT /campaigns/{id}`: another specification for a draft.

use axum::extract::State;
use domain::Key;
use domain::campaign::{Campaign, CampaignCommand};

use super::model::CampaignBody;
use super::spec::CampaignRequest;
use crate::auth::Operator;
use crate::http::envelope::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, Envelope, Path, Problem, Reply};
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
    )
)]
pub(crate) async fn replace_campaign(
    State(app): State<App>,
    Operator(caller): Operator,
    envelope: Envelope,
    Path(path): Path<CampaignPath>,
    Body(wanted): Body<CampaignRequest>,
) -> Result<Reply<CampaignBody>, Problem> {
    let reason = wanted.reason.clone();
    let spec = Box::new(wanted.into_spec()?);
    usable_firmware(&app, &caller, spec.firmware_id).await?;
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    let done = app.command(&caller, &envelope, &key, CampaignCommand::Amend { spec }, reason).await?;
    Ok(done.reply(CampaignBody::of(path.campaign_id, &done.aggregate, done.version)?))
}

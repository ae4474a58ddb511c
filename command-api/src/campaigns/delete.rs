//! `DELETE /campaigns/{id}`: drafts only.

use axum::extract::State;
use domain::Key;
use domain::campaign::{Campaign, CampaignCommand};

use crate::auth::Caller;
use crate::devices::{Deleted, ReasonRequest};
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Delete a draft
#[utoipa::path(
    delete, path = "/campaigns/{campaign_id}", tag = "campaigns", request_body = ReasonRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 409, description = "It has been started", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    let done = app.command(&caller, &envelope, &key, CampaignCommand::Delete, wanted.reason).await?;
    Ok(done.reply(Deleted { id: path.campaign_id.to_string() }))
}

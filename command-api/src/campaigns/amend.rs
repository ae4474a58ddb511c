//! `PUT /campaigns/{id}`: another specification, before planning begins.

use axum::extract::State;
use domain::Key;
use domain::campaign::{Campaign, CampaignCommand, CampaignStatus};
use runtime::clock;

use super::model::CampaignBody;
use super::spec::CampaignRequest;
use super::start::{settle_pin, take_pin};
use super::targets::known_targets;
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

/// Replace a specification
///
/// Until planning begins; 409 afterwards. An edit voids an approval: the campaign is a draft again. A scheduled campaign that needs no
/// approval stays scheduled, for the new `scheduled_start`.
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
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<CampaignRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(CampaignBody::done(path.campaign_id, &done)?));
    }
    let reason = wanted.reason.clone();
    let spec = Box::new(wanted.into_spec(clock::now(), app.tenants.rules(&caller.tenant).await?)?);
    usable_firmware(&app, &caller, spec.firmware_id).await?;
    known_targets(&app, &caller, &spec).await?;
    let before = app.store.load_fresh(&key).await?;
    let pinned = before.aggregate.spec.as_ref().map(|spec| spec.firmware_id);
    let pinned = pinned.filter(|_| before.aggregate.status == CampaignStatus::Scheduled && !envelope.dry_run);
    let wanted = spec.firmware_id;
    if pinned.is_some_and(|pinned| pinned != wanted) {
        take_pin(&app, &caller, &envelope, path.campaign_id, wanted).await?;
    }
    let command = CampaignCommand::Amend { spec, by: caller.actor.clone() };
    let outcome = app.command(&caller, &envelope, &key, command, reason).await;
    if let Some(pinned) = pinned {
        for firmware in std::collections::BTreeSet::from([pinned, wanted]) {
            settle_pin(&app, &caller, &envelope, path.campaign_id, firmware).await?;
        }
    }
    let done = outcome?;
    Ok(done.reply(CampaignBody::done(path.campaign_id, &done)?))
}

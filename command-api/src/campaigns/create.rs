//! `POST /campaigns` and `POST /campaigns/{id}/clone`: a new draft.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::campaign::{Campaign, CampaignCommand, CampaignSpec, CampaignStatus};
use domain::{CampaignId, Key, Rejection, Sealed};
use runtime::clock;
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{CampaignBody, location};
use super::spec::CampaignRequest;
use super::targets::{groups_exist, known_targets};
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Done, Envelope, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

/// Create a campaign
///
/// It stays a draft until it is started.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = CampaignRequest, params(CommandHeaders),
    responses(
        (status = 201, body = WithPosition<CampaignBody>),
        (status = 409, description = "The firmware is withdrawn or deleted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_campaign(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<CampaignRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    if let Some(first) = created_before(&app, &caller, &envelope).await? {
        return Ok(first);
    }
    let reason = wanted.reason.clone();
    let spec = wanted.into_spec(clock::now(), app.tenants.rules(&caller.tenant).await?)?;
    known_targets(&app, &caller, &spec).await?;
    let id = CampaignId(envelope.new_id(&caller));
    created(id, &create(&app, &caller, &envelope, id, spec, reason).await?)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Q4 2024 Update, other sites", "reason": "the first sites went well"}))]
pub(crate) struct CloneRequest {
    /// By default the original's. Public: readers of FEED see it.
    name: Option<String>,
    /// By default the original's, which must not have passed.
    ends_at: Option<DateTime<Utc>>,
    /// By default the original's, if it has not passed.
    scheduled_start: Option<DateTime<Utc>>,
    reason: Option<String>,
}

/// Clone a campaign
///
/// A new draft with the same specification. A campaign of the strategy `scheduled` whose start has passed needs another
/// `scheduled_start`.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/clone", tag = "campaigns", request_body = CloneRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 201, body = WithPosition<CampaignBody>),
        (status = 409, description = "A target group was deleted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The original's end has passed, or a field is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn clone_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<CloneRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    if let Some(first) = created_before(&app, &caller, &envelope).await? {
        return Ok(first);
    }
    let original = app.store.load_fresh(&Key::<Campaign>::new(&caller.tenant, &path.campaign_id)).await?;
    let spec = original.aggregate.spec.clone().filter(|_| original.aggregate.status != CampaignStatus::Deleted);
    let mut spec = spec.ok_or(Rejection::CampaignUnknown)?;
    if let Some(name) = wanted.name {
        spec.name = Sealed::Plain(name);
    }
    let rules = app.tenants.rules(&caller.tenant).await?;
    spec.requires_approval |= rules.require_approval;
    spec.require_digest_report |= rules.require_digest_report;
    spec.ends_at = wanted.ends_at.or(spec.ends_at);
    let ahead = spec.scheduled_start.filter(|start| *start > clock::now());
    spec.scheduled_start = wanted.scheduled_start.or(ahead);
    groups_exist(&app, &caller, &spec).await?;
    let id = CampaignId(envelope.new_id(&caller));
    created(id, &create(&app, &caller, &envelope, id, spec, wanted.reason).await?)
}

/// The campaign that this request has created before.
async fn created_before(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
) -> Result<Option<Reply<CampaignBody>>, Problem> {
    if !envelope.has_key() {
        return Ok(None);
    }
    let id = CampaignId(envelope.new_id(caller));
    let first = app.repeated(caller, envelope, &Key::<Campaign>::new(&caller.tenant, &id)).await?;
    first.map(|done| created(id, &done)).transpose()
}

fn created(id: CampaignId, done: &Done<Campaign>) -> Result<Reply<CampaignBody>, Problem> {
    Ok(done.reply_created(CampaignBody::done(id, done)?, location(id)))
}

/// Stores a new draft.
pub(super) async fn create(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: CampaignId,
    spec: CampaignSpec,
    reason: Option<String>,
) -> Result<Done<Campaign>, Problem> {
    usable_firmware(app, caller, spec.firmware_id).await?;
    let key = Key::<Campaign>::new(&caller.tenant, &id);
    let command = CampaignCommand::Create { id, spec: Box::new(spec) };
    app.command(caller, envelope, &key, command, reason).await
}

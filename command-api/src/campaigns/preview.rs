//! `POST /campaigns/preview` and `POST /campaigns/{id}/preview`: what a campaign would do if it began now. Nothing is written to the log.
//!
//! The plan is made by the planner's own function, so a campaign that starts on the same devices gets the same plan hash.

use axum::Json;
use axum::extract::State;
use domain::campaign::{Campaign, CampaignSpec, CampaignStatus};
use domain::ids::name_based_uuid;
use domain::{CampaignId, Key, Rejection, TenantId};
use projections::FLEET;
use runtime::clock;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::expected::average_update;
use super::members::left_out;
use super::preview_body::{PreviewBody, PreviewDevice};
use super::preview_plan::{EntryFilter, PlanOfCursor, PreviewInput};
use super::preview_slots::TenantSlot;
use super::spec::CampaignRequest;
use super::targets::{groups_exist, known_targets};
use crate::auth::Caller;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::{Body, FilterSet, Filters, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;
use crate::updates::usable_firmware;

/// Which devices `members` lists.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewFilters {
    /// From 1.
    wave: Option<u16>,
    /// `true` for all excluded devices, `false` for all others, or a reason.
    excluded: Option<String>,
}

impl FilterSet for PreviewFilters {}

/// A preview needs no body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub(crate) struct PreviewRequest {}

/// Preview a campaign that isn't created
///
/// Takes the body of `POST /campaigns` and answers with the same errors. Nothing is written: no event, no campaign. At most 1,000,000 devices.
/// 503 `previews_busy` if too many are requested at the same time: a process computes one of each tenant, and two in all.
#[utoipa::path(
    post, path = "/campaigns/preview", tag = "campaigns", request_body = CampaignRequest,
    params(PreviewFilters, PageParams),
    responses(
        (status = 200, body = PreviewBody),
        (status = 409, description = "The firmware is withdrawn or deleted, or the devices have changed since the first page", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn preview_new_campaign(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<PreviewFilters>,
    min_position: MinPosition,
    paging: Paging,
    Body(wanted): Body<CampaignRequest>,
) -> Result<Json<PreviewBody>, Problem> {
    let spec = wanted.into_spec(clock::now(), app.tenants.rules(&caller.tenant).await?)?;
    let slot = app.previews.slots.of_tenant(&caller.tenant).await?;
    known_targets(&app, &caller, &spec).await?;
    let seed = spec.sample_seed.clone().unwrap_or_else(|| provisional_seed(&caller.tenant, &spec));
    preview(&app, &caller, slot, None, spec, seed, filters, min_position, paging).await
}

/// Preview a campaign
///
/// Shows the plan that the campaign would begin with now. Possible until its planning begins, also while it is scheduled. The `plan_hash` can be
/// given to `POST /campaigns/{campaign_id}/start`, which then says whether the plan has changed. No event is written.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/preview", tag = "campaigns", request_body = PreviewRequest,
    params(CampaignPath, PreviewFilters, PageParams),
    responses(
        (status = 200, body = PreviewBody),
        (status = 409, description = "Planning has begun, the campaign's end has passed, its firmware or a target group was deleted, or the devices have changed since the first page", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn preview_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(filters): Filters<PreviewFilters>,
    min_position: MinPosition,
    paging: Paging,
    Body(PreviewRequest {}): Body<PreviewRequest>,
) -> Result<Json<PreviewBody>, Problem> {
    let id = path.campaign_id;
    let slot = app.previews.slots.of_tenant(&caller.tenant).await?;
    let loaded = app.store.load_fresh(&Key::<Campaign>::new(&caller.tenant, &id)).await?;
    let spec = startable(&loaded.aggregate)?.clone();
    groups_exist(&app, &caller, &spec).await?;
    let seed = spec.seed(id);
    preview(&app, &caller, slot, Some(id), spec, seed, filters, min_position, paging).await
}

/// The specification of a campaign whose planning could still begin.
fn startable(campaign: &Campaign) -> Result<&CampaignSpec, Rejection> {
    let status = campaign.status;
    let spec =
        campaign.spec.as_ref().filter(|_| status != CampaignStatus::Deleted).ok_or(Rejection::CampaignUnknown)?;
    let waits_for_start = status == CampaignStatus::Scheduled || campaign.is_paused_before_start();
    if (status.is_live() && !waits_for_start) || status.is_terminal() {
        return Err(Rejection::IllegalInState { command: "previewed".to_owned(), status: status.word().to_owned() });
    }
    match spec.ends_at.filter(|ends_at| *ends_at <= clock::now()) {
        Some(ends_at) => Err(Rejection::CampaignOver { ends_at }),
        None => Ok(spec),
    }
}

/// The same for the same campaign, so that its pages and its next preview have the same order.
fn provisional_seed(tenant: &TenantId, spec: &CampaignSpec) -> String {
    let name = spec.name.plain().map_or("", String::as_str);
    name_based_uuid(&["preview", tenant.as_str(), &spec.firmware_id.to_string(), name]).to_string()
}

#[expect(clippy::too_many_arguments, reason = "the parts of one request")]
async fn preview(
    app: &App,
    caller: &Caller,
    slot: TenantSlot,
    id: Option<CampaignId>,
    spec: CampaignSpec,
    seed: String,
    filters: PreviewFilters,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<PreviewBody>, Problem> {
    let filter = EntryFilter { wave: filters.wave, excluded: filters.excluded.as_deref().map(left_out).transpose()? };
    let keys = paging.keys::<5>()?;
    let after = match keys {
        Some([_, _, wave, rank, device]) => Some((Paging::number(wave)?, Paging::number(rank)?, device)),
        None => None,
    };
    let firmware = usable_firmware(app, caller, spec.firmware_id).await?;
    min_position.wait(app, caller, &[FLEET]).await?;
    let of_cursor = keys.map(|[digest, hash, ..]| PlanOfCursor { digest, hash });
    let plan = PreviewInput { spec, firmware, seed }.plan(app, caller, slot, of_cursor).await?;
    let average = average_update(app, &caller.tenant, &plan.firmware).await?;
    let members = paging.list(plan.page(filter, &paging, after), |entry| PreviewDevice::from(&entry));
    let at_position = app.token(plan.at_position).await?.to_string();
    Ok(Json(PreviewBody::of(id, &plan, &average, at_position, members)))
}

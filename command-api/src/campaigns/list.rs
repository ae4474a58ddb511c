//! `GET /campaigns`: list and filter campaigns, newest first.

use axum::Json;
use axum::extract::State;
use domain::campaign::{CampaignStatus, Strategy};
use projections::CAMPAIGNS;
use projections::campaigns::CampaignFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::CampaignBody;
use crate::auth::Viewer;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CampaignFilters {
    status: Option<String>,
    firmware_id: Option<String>,
    deployment_strategy: Option<String>,
}

impl FilterSet for CampaignFilters {}

/// List campaigns
///
/// Newest first. Needs role viewer.
#[utoipa::path(
    get, path = "/campaigns", tag = "campaigns", params(CampaignFilters, PageParams),
    responses((status = 200, body = List<CampaignBody>))
)]
pub(crate) async fn list_campaigns(
    State(app): State<App>,
    Viewer(caller): Viewer,
    Filters(filters): Filters<CampaignFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<CampaignBody>>, Problem> {
    if filters.status.as_deref().is_some_and(|word| CampaignStatus::from_word(word).is_none()) {
        return Err(Problem::bad_request("no campaign has this status"));
    }
    if filters.deployment_strategy.as_deref().is_some_and(|word| Strategy::from_word(word).is_none()) {
        return Err(Problem::bad_request("no campaign has this deployment_strategy"));
    }
    let filter = CampaignFilter {
        id: None,
        status: filters.status,
        firmware_id: filters.firmware_id,
        strategy: filters.deployment_strategy,
    };
    let after = match paging.keys::<2>()? {
        Some([created_at, id]) => Some((Paging::time(created_at)?, id)),
        None => None,
    };
    let after = after.as_ref().map(|(created_at, id)| (created_at.as_str(), *id));
    min_position.wait(&app, &[CAMPAIGNS]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::campaigns::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, CampaignBody::from)))
}

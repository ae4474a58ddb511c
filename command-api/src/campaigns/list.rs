//! `GET /campaigns`: list and filter campaigns, newest first.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::FirmwareId;
use domain::campaign::{CampaignStatus, Strategy};
use projections::FLEET;
use projections::campaigns::CampaignFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::list_at::page_at;
use super::model::CampaignBody;
use crate::auth::Caller;
use crate::http::query::{either, includes_deleted};
use crate::http::{AsOf, FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CampaignFilters {
    status: Option<String>,
    /// Id of a firmware.
    firmware: Option<String>,
    /// The same as `firmware`.
    firmware_id: Option<String>,
    strategy: Option<String>,
    /// The same as `strategy`.
    deployment_strategy: Option<String>,
    /// `deleted` includes deleted drafts. `status=deleted` alone lists only them.
    include: Option<String>,
    /// The campaigns as they were at this time, without `count`. 422 for a time in the future.
    at: Option<DateTime<Utc>>,
}

impl FilterSet for CampaignFilters {}

impl CampaignFilters {
    fn into_filter(self) -> Result<CampaignFilter, Problem> {
        if self.status.as_deref().is_some_and(|word| CampaignStatus::from_word(word).is_none()) {
            return Err(Problem::bad_request("no campaign has this status"));
        }
        let names = ["strategy", "deployment_strategy"];
        let strategy = either(names, [self.strategy, self.deployment_strategy])?;
        if strategy.as_deref().is_some_and(|word| Strategy::from_word(word).is_none()) {
            return Err(Problem::bad_request("no campaign has this deployment_strategy"));
        }
        let firmware = either(["firmware", "firmware_id"], [self.firmware, self.firmware_id])?;
        let firmware = firmware.map(|id| id.parse::<FirmwareId>()).transpose();
        let firmware_id = firmware.map_err(|_| Problem::bad_request("firmware: not an id of a firmware"))?;
        let firmware_id = firmware_id.map(|id| id.to_string());
        let deleted = includes_deleted(self.include.as_deref())? || self.status.as_deref() == Some("deleted");
        Ok(CampaignFilter { id: None, deleted, status: self.status, firmware_id, strategy, within: None })
    }
}

/// List campaigns
///
/// Newest first, without deleted drafts unless `include=deleted`. With `at`, each as `GET /campaigns/{campaign_id}?at_time=` shows it; a page
/// looks at 200 campaigns, so it may have fewer items than `limit`, even none, and still have a `next_cursor`.
#[utoipa::path(
    get, path = "/campaigns", tag = "campaigns", params(CampaignFilters, PageParams),
    responses((status = 200, body = List<CampaignBody>))
)]
pub(crate) async fn list_campaigns(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<CampaignFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Response, Problem> {
    let at = filters.at;
    let mut filter = filters.into_filter()?;
    filter.within = caller.limits.as_ref().map(|limits| limits.groups.iter().cloned().collect());
    if let Some(at) = at {
        min_position.wait(&app, &caller, &[FLEET]).await?;
        return Ok(Json(page_at(&app, &caller, filter, at, &paging).await?).into_response());
    }
    let after = match paging.keys::<2>()? {
        Some([created_at, id]) => Some((Paging::time(created_at)?, id)),
        None => None,
    };
    let after = after.as_ref().map(|(created_at, id)| (created_at.as_str(), *id));
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::campaigns::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    Ok(Json(paging.list(page, CampaignBody::from).showing(as_of)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Result<CampaignFilter, u16> {
        let filters: CampaignFilters = serde_urlencoded::from_str(query).map_err(|_| 400_u16)?;
        filters.into_filter().map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn campaigns_are_filtered_by_either_name() {
        let (one, other) = ("a7145951-0000-5000-8000-000000000001", "a7145951-0000-5000-8000-000000000002");
        for query in [
            format!("firmware={one}&strategy=canary"),
            format!("firmware_id={}&deployment_strategy=canary", one.to_uppercase()),
            format!("firmware={one}&firmware_id={one}&strategy=canary"),
        ] {
            let filter = filter(&query).unwrap();
            let told = (filter.firmware_id.as_deref(), filter.strategy.as_deref());
            assert_eq!(told, (Some(one), Some("canary")), "{query}");
        }
        let differ = format!("firmware={one}&firmware_id={other}");
        for query in
            [&differ, "firmware=f", "firmware=", "strategy=canary&deployment_strategy=staged", "strategy=x", "status=x"]
        {
            assert_eq!(filter(query).unwrap_err(), 400, "{query}");
        }
    }
}

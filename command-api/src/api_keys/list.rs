//! `GET /api-keys`: list API keys, from those that this process knows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::ApiKeyId;
use domain::api_key::ApiKey;
use event_store::Loaded;
use event_store::followed::WithId;
use projections::Page;

use super::model::{ApiKeyBody, last_uses};
use crate::auth::Caller;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Problem};
use crate::state::App;

/// List API keys
///
/// By id, in the main that is by their time, with those that are expired or revoked, and without their texts.
#[utoipa::path(
    get, path = "/api-keys", tag = "API keys", params(PageParams), responses((status = 200, body = List<ApiKeyBody>))
)]
pub(crate) async fn list_api_keys(
    State(app): State<App>,
    caller: Caller,
    Filters(NoFilters {}): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<ApiKeyBody>>, Problem> {
    let after = paging.keys::<1>()?.map(|[id]| id);
    let keys = app.known_keys()?.current()?;
    min_position.wait_for_followed(&app, &caller, keys).await?;
    let page = page(keys.of_tenant(&caller.tenant)?, after, &paging);
    let ids: Vec<ApiKeyId> = page.items.iter().map(|(id, _)| *id).collect();
    let uses = last_uses(&app, &caller.tenant, &ids).await;
    Ok(Json(paging.list(page, |(id, loaded)| {
        ApiKeyBody::of(&caller.tenant, id, &loaded.aggregate, loaded.origin.as_deref(), loaded.version, &uses)
    })))
}

/// A page of keys in the order of their ids.
fn page(all: Vec<WithId<ApiKey>>, after: Option<&str>, paging: &Paging) -> Page<(ApiKeyId, Arc<Loaded<ApiKey>>)> {
    let total = paging.count.then_some(all.len() as u64);
    let mut rest = all.into_iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
    let items: Vec<_> = rest.by_ref().take(paging.limit).collect();
    let next = rest.next().and_then(|_| items.last().map(|(id, _)| vec![id.clone()]));
    let items = items.into_iter().filter_map(|(id, loaded)| Some((id.parse().ok()?, loaded))).collect();
    Page { items, next, total }
}

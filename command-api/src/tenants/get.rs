//! `GET /tenants`, `GET /tenants/{id}` and `GET /tenants/{id}/history`.

use axum::Json;
use axum::extract::State;
use domain::tenant::Tenant;
use domain::{Key, Rejection};
use projections::FLEET;

use super::model::TenantBody;
use crate::auth::Caller;
use crate::http::history::{self, HistoryItem};
use crate::http::path::TenantPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{
    Filters, HistoryOrder, List, MinPosition, NoFilters, PageParams, Paging, Path, PositionParams, Problem,
};
use crate::state::App;

/// List tenants
///
/// By id, also closed ones.
#[utoipa::path(
    get, path = "/tenants", tag = "tenants", params(PageParams), responses((status = 200, body = List<TenantBody>))
)]
pub(crate) async fn list_tenants(
    State(app): State<App>,
    caller: Caller,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<TenantBody>>, Problem> {
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let page = projections::tenants::list_all(&app.db, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, TenantBody::from)))
}

/// Get a tenant
#[utoipa::path(
    get, path = "/tenants/{tenant_id}", tag = "tenants", params(TenantPath, PositionParams),
    responses(
        (status = 200, body = TenantBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_tenant(
    State(app): State<App>,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    min_position: MinPosition,
) -> Result<Found<TenantBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Tenant>::new(&tenant_id, &tenant_id)).await?;
    if loaded.version == 0 {
        return Err(Rejection::TenantUnknown.into());
    }
    let resource = TenantBody::of(&tenant_id, &loaded.aggregate, loaded.origin.as_deref(), loaded.version);
    Ok(Found { version: loaded.version, resource })
}

/// List a tenant's events
///
/// Oldest first unless `order=desc`, with actors and reasons: what was changed, suspended, frozen.
#[utoipa::path(
    get, path = "/tenants/{tenant_id}/history", tag = "tenants", params(TenantPath, HistoryOrder, PageParams),
    responses((status = 200, body = List<HistoryItem>))
)]
pub(crate) async fn tenant_history(
    State(app): State<App>,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    Filters(order): Filters<HistoryOrder>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<HistoryItem>>, Problem> {
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    history::page(&app, &key, min_position, order, &paging, "no such tenant").await.map(Json)
}

//! `GET /firmware`: list and filter firmware.

use axum::Json;
use axum::extract::State;
use domain::firmware::UpdateType;
use projections::FLEET;
use projections::firmware::FirmwareFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::FirmwareBody;
use crate::auth::Caller;
use crate::http::query::includes_deleted;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirmwareFilters {
    device_model: Option<String>,
    manufacturer: Option<String>,
    update_type: Option<String>,
    component: Option<String>,
    version: Option<String>,
    is_beta: Option<bool>,
    is_security_update: Option<bool>,
    /// `deleted` includes deleted firmware.
    include: Option<String>,
}

impl FilterSet for FirmwareFilters {}

/// List firmware
///
/// By id, without deleted ones unless `include=deleted`.
#[utoipa::path(
    get, path = "/firmware", tag = "firmware", params(FirmwareFilters, PageParams),
    responses((status = 200, body = List<FirmwareBody>))
)]
pub(crate) async fn list_firmware(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<FirmwareFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<FirmwareBody>>, Problem> {
    if filters.update_type.as_deref().is_some_and(|word| UpdateType::from_word(word).is_none()) {
        return Err(Problem::bad_request("no firmware has this update_type"));
    }
    let filter = FirmwareFilter {
        id: None,
        deleted: includes_deleted(filters.include.as_deref())?,
        device_model: filters.device_model,
        manufacturer: filters.manufacturer,
        update_type: filters.update_type,
        component: filters.component,
        version: filters.version,
        is_beta: filters.is_beta,
        is_security_update: filters.is_security_update,
    };
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::firmware::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, FirmwareBody::from)))
}

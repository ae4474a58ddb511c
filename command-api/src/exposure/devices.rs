//! `GET /exposure/devices`: the devices that the report counts.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use documents::Exposure;
use projections::FLEET;
use projections::exposure::list_devices;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::ExposedDeviceBody;
use super::question::question;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposedDevicesParams {
    /// A vulnerability as VEX documents name it.
    #[param(example = "CVE-2022-3602")]
    cve: Option<String>,
    /// A package URL.
    #[param(example = "pkg:generic/openssl@3.0.6")]
    purl: Option<String>,
    /// What ran at this time; by default now.
    at: Option<DateTime<Utc>>,
    /// `affected` (the default), `under_investigation` or `not_affected`.
    exposure: Option<String>,
}

impl FilterSet for ExposedDevicesParams {}

/// List the devices that a vulnerability or a package concerns
///
/// By id, each with the worst of what its components run.
#[utoipa::path(
    get, path = "/exposure/devices", tag = "exposure", params(ExposedDevicesParams, PageParams),
    responses(
        (status = 200, body = List<ExposedDeviceBody>),
        (status = 400, description = "No question", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exposed_devices(
    State(app): State<App>,
    caller: Caller,
    Filters(params): Filters<ExposedDevicesParams>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<ExposedDeviceBody>>, Problem> {
    let query = question(params.cve.as_deref(), params.purl.as_deref(), params.at)?;
    let shown = [Exposure::Affected, Exposure::UnderInvestigation, Exposure::NotAffected];
    let word = params.exposure.as_deref().unwrap_or(Exposure::Affected.word());
    let exposure = shown.into_iter().find(|exposure| exposure.word() == word);
    let exposure = exposure.ok_or_else(|| refused("exposure", "affected, under_investigation or not_affected"))?;
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = list_devices(&mut tx, &query, exposure, after, paging.limit).await?;
    Ok(Json(paging.list(page, ExposedDeviceBody::from)))
}

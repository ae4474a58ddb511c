//! `GET /exposure`: how many devices of a tenant are affected.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::FLEET;
use projections::exposure::report;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::ExposureBody;
use super::question::question;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::{FilterSet, Filters, MinPosition, PositionParams, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposureParams {
    /// A vulnerability as VEX documents name it.
    #[param(example = "CVE-2022-3602")]
    cve: Option<String>,
    /// A package URL. With a version only components of this version count; qualifiers don't count.
    #[param(example = "pkg:generic/openssl@3.0.6")]
    purl: Option<String>,
    /// What ran at this time; by default now. Documents count as they are now.
    at: Option<DateTime<Utc>>,
}

impl FilterSet for ExposureParams {}

/// Count the devices that a vulnerability or a package concerns
///
/// With `cve`, the latest VEX of each firmware that speaks of it counts. With `purl`, its SBOMs. With both, a VEX goes before the SBOMs. A
/// device counts once, by the worst of what its components run.
#[utoipa::path(
    get, path = "/exposure", tag = "exposure", params(ExposureParams, PositionParams),
    responses(
        (status = 200, body = ExposureBody),
        (status = 400, description = "No question", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exposure_report(
    State(app): State<App>,
    caller: Caller,
    Filters(params): Filters<ExposureParams>,
    min_position: MinPosition,
) -> Result<Json<ExposureBody>, Problem> {
    let query = question(params.cve.as_deref(), params.purl.as_deref(), params.at)?;
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    Ok(Json(ExposureBody::of(query.at, report(&mut tx, &query).await?)))
}

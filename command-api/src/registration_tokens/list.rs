//! `GET /registration-tokens`: list registration tokens, by id.

use axum::Json;
use axum::extract::State;
use domain::registration_token::RegistrationTokenStatus;
use projections::FLEET;
use projections::registration_tokens::RegistrationTokenFilter;
use runtime::clock;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::RegistrationTokenBody;
use crate::auth::Caller;
use crate::http::query::refused;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationTokenFilters {
    /// `active`, `expired`, `revoked` or `used_up`, now.
    status: Option<String>,
    /// Only tokens for this model.
    device_model: Option<String>,
}

impl FilterSet for RegistrationTokenFilters {}

impl RegistrationTokenFilters {
    fn into_filter(self) -> Result<RegistrationTokenFilter, Problem> {
        let known = |word: &str| {
            let status = RegistrationTokenStatus::from_word(word);
            status.ok_or_else(|| refused("status", "active, expired, revoked or used_up"))
        };
        let status = self.status.as_deref().map(known).transpose()?;
        let status = status.map(|status| (status, clock::now()));
        Ok(RegistrationTokenFilter { status, device_model: self.device_model })
    }
}

/// List registration tokens
///
/// By id, in the main that is by their time, with those that admit no further device, and without their texts.
#[utoipa::path(
    get, path = "/registration-tokens", tag = "registration tokens", params(RegistrationTokenFilters, PageParams),
    responses((status = 200, body = List<RegistrationTokenBody>))
)]
pub(crate) async fn list_registration_tokens(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<RegistrationTokenFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<RegistrationTokenBody>>, Problem> {
    let filter = filters.into_filter()?;
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::registration_tokens::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, RegistrationTokenBody::from)))
}

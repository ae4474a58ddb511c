//! `GET /groups`: list groups, by id.

use axum::Json;
use axum::extract::State;
use domain::group::GroupKind;
use projections::FLEET;
use projections::groups::GroupFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::GroupBody;
use crate::auth::Caller;
use crate::http::query::{includes_deleted, refused};
use crate::http::{AsOf, FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupFilters {
    /// `static` or `dynamic`.
    kind: Option<String>,
    /// `deleted` includes deleted groups.
    include: Option<String>,
}

impl FilterSet for GroupFilters {}

impl GroupFilters {
    fn into_filter(self) -> Result<GroupFilter, Problem> {
        let known = |word: &str| GroupKind::from_word(word).ok_or_else(|| refused("kind", "static or dynamic"));
        let kind = self.kind.as_deref().map(known).transpose()?;
        Ok(GroupFilter { id: None, kind, deleted: includes_deleted(self.include.as_deref())? })
    }
}

/// List groups
///
/// By id, without deleted ones unless `include=deleted`.
#[utoipa::path(
    get, path = "/groups", tag = "groups", params(GroupFilters, PageParams),
    responses((status = 200, body = List<GroupBody>))
)]
pub(crate) async fn list_groups(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<GroupFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<GroupBody>>, Problem> {
    let filter = filters.into_filter()?;
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::groups::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    Ok(Json(paging.list(page, GroupBody::from).showing(as_of)))
}

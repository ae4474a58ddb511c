//! `GET /groups/{id}/members`: the devices of a group, by id.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::FLEET;
use projections::selection::MemberOfGroup;
use serde::Serialize;
use utoipa::ToSchema;

use super::get;
use crate::auth::Caller;
use crate::http::path::GroupPath;
use crate::http::problem::ProblemBody;
use crate::http::{Filters, List, MinPosition, NoFilters, PageParams, Paging, Path, Problem};
use crate::state::App;

/// A device in a group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupMember {
    device_id: String,
    /// `active` or `decommissioned`.
    lifecycle: Option<String>,
    /// When it was added; null in a dynamic group.
    added_at: Option<DateTime<Utc>>,
}

impl From<MemberOfGroup> for GroupMember {
    fn from(member: MemberOfGroup) -> Self {
        let MemberOfGroup { device_id, lifecycle, added_at } = member;
        Self { device_id, lifecycle, added_at }
    }
}

/// List the devices of a group
///
/// By id. A static group also lists decommissioned devices: they stay members, and are no targets. A dynamic group lists the devices in
/// service that match its filter now. `GET /devices?group=` lists the same devices in service with all that is known of them.
#[utoipa::path(
    get, path = "/groups/{group_id}/members", tag = "groups", params(GroupPath, PageParams),
    responses(
        (status = 200, body = List<GroupMember>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn group_members(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<GroupPath>,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<GroupMember>>, Problem> {
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let (mut tx, group) = get::row(&app, &caller, &path.group_id).await?;
    let page = projections::selection::members(&mut tx, &group, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, GroupMember::from)))
}

//! `GET /members`, `GET /members/{member}` and its history, from EVENTS.

use axum::Json;
use axum::extract::State;
use domain::member::Member;
use domain::{Key, MemberId, Rejection};
use projections::Page;

use super::model::MemberBody;
use crate::auth::Caller;
use crate::http::history::{self, HistoryItem};
use crate::http::path::MemberPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{
    Filters, HistoryOrder, List, MinPosition, NoFilters, PageParams, Paging, Path, PositionParams, Problem,
};
use crate::state::App;

/// List members
///
/// By an order of their own, a page at a time. Those without grants are left out.
#[utoipa::path(
    get, path = "/members", tag = "members", params(PageParams), responses((status = 200, body = List<MemberBody>))
)]
pub(crate) async fn list_members(
    State(app): State<App>,
    caller: Caller,
    Filters(_): Filters<NoFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<MemberBody>>, Problem> {
    let members = app.known_members()?;
    min_position.wait_for_followed(&app, &caller, members).await?;
    let after = paging.keys::<1>()?.map(|[id]| id.to_owned());
    let all = members.of_tenant(&caller.tenant)?;
    let active: Vec<_> = all.into_iter().filter(|(_, member)| member.aggregate.is_active()).collect();
    let total = paging.count.then_some(active.len() as u64);
    let mut items: Vec<_> =
        active.into_iter().filter(|(id, _)| after.as_ref().is_none_or(|after| id > after)).collect();
    let more = items.len() > paging.limit;
    items.truncate(paging.limit);
    let next = items.last().filter(|_| more).map(|(id, _)| vec![id.clone()]);
    let page = Page { items, next, total };
    Ok(Json(paging.list(page, |(_, member)| MemberBody::of(&member.aggregate, member.version))))
}

/// Get a member
#[utoipa::path(
    get, path = "/members/{member}", tag = "members", params(MemberPath, PositionParams),
    responses(
        (status = 200, body = MemberBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_member(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<MemberPath>,
    min_position: MinPosition,
) -> Result<Found<MemberBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Member>::new(&caller.tenant, &MemberId::of(&path.member))).await?;
    if loaded.version == 0 {
        return Err(Rejection::MemberUnknown.into());
    }
    Ok(Found { version: loaded.version, resource: MemberBody::of(&loaded.aggregate, loaded.version) })
}

/// List a member's events
///
/// Oldest first unless `order=desc`, with actors and reasons.
#[utoipa::path(
    get, path = "/members/{member}/history", tag = "members", params(MemberPath, HistoryOrder, PageParams),
    responses((status = 200, body = List<HistoryItem>))
)]
pub(crate) async fn member_history(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<MemberPath>,
    Filters(order): Filters<HistoryOrder>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<HistoryItem>>, Problem> {
    let key = Key::<Member>::new(&caller.tenant, &MemberId::of(&path.member));
    history::page(&app, &key, min_position, order, &paging, "no such member").await.map(Json)
}

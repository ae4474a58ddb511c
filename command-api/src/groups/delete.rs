//! `DELETE /groups/{id}`.

use axum::extract::State;
use domain::group::{Group, GroupCommand};
use domain::{GroupId, Key, Rejection};
use projections::FLEET;

use crate::auth::Caller;
use crate::devices::{Deleted, ReasonRequest};
use crate::http::commands::CommandHeaders;
use crate::http::path::GroupPath;
use crate::http::position::wait_for_the_end;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Most campaigns named in a refusal.
const CAMPAIGNS_NAMED_MAX: usize = 20;

/// Delete a group
///
/// Its devices stay. 409 while a campaign that targets it is under way. A draft that targets it can't be started any more; campaigns that
/// have ended keep their devices. 503 without PostgreSQL.
#[utoipa::path(
    delete, path = "/groups/{group_id}", tag = "groups", request_body = ReasonRequest, params(GroupPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_group(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let key = Key::<Group>::new(&caller.tenant, &path.group_id);
    let deleted = || Deleted { id: path.group_id.to_string() };
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(deleted()));
    }
    if !app.store.load_fresh(&key).await?.aggregate.is_active() {
        return Err(Rejection::GroupUnknown.into());
    }
    is_unused(&app, &caller, &path.group_id).await?;
    let done = app.command(&caller, &envelope, &key, GroupCommand::Delete, wanted.reason).await?;
    Ok(done.reply(deleted()))
}

/// 409 naming campaigns under way that target the group. A campaign that starts at this moment finds no members in it.
async fn is_unused(app: &App, caller: &Caller, id: &GroupId) -> Result<(), Problem> {
    wait_for_the_end(app, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let campaigns = projections::groups::campaigns_under_way(&mut tx, id, CAMPAIGNS_NAMED_MAX).await?;
    if campaigns.is_empty() { Ok(()) } else { Err(Rejection::GroupInUse { campaigns }.into()) }
}

//! `GET /groups/{id}`: a group now, from the read model; or at an earlier time, from EVENTS.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::group::Group;
use domain::{GroupId, Key};
use projections::groups::GroupRow;
use projections::{FLEET, ReadTx};

use super::model::GroupBody;
use crate::auth::Caller;
use crate::http::past::{AsItWas, Beginning, MomentParams, as_it_was};
use crate::http::path::GroupPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{Filters, MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

pub(super) const UNKNOWN: &str = "no such group";
const BEGINNING: Beginning =
    Beginning { unknown: UNKNOWN, only_at: "the group was deleted then, or created only at", fact: "created_at" };

/// Get a group
///
/// With `at_time` or `at_position`, its state at that time or position.
#[utoipa::path(
    get, path = "/groups/{group_id}", tag = "groups", params(GroupPath, MomentParams, PositionParams),
    responses(
        (status = 200, body = AsItWas<GroupBody>),
        (status = 404, description = "Unknown or deleted, or not yet created then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A time or position in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_group(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<GroupPath>,
    Filters(moment): Filters<MomentParams>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    let id = path.group_id;
    let key = Key::<Group>::new(&caller.tenant, &id);
    if let Some(at) = moment.moment(&app).await? {
        min_position.of_this_log(&app).await?;
        return as_it_was(&app, &key, at, &BEGINNING, |loaded| {
            let group = &loaded.aggregate;
            group.is_active().then(|| GroupBody::of(&id, group, loaded.origin.as_deref(), loaded.version))
        })
        .await;
    }
    let reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let (_, row) = found(&app, &caller, &id, reading).await?;
    Ok(Found { version: row.version, resource: GroupBody::from(row) }.into_response())
}

/// The group's row, with the transaction that read it; 404 if the log has no such group.
pub(super) async fn row(app: &App, caller: &Caller, id: &GroupId) -> Result<(ReadTx, GroupRow), Problem> {
    let key = Key::<Group>::new(&caller.tenant, id);
    found(app, caller, id, ReadOfOne::waited(app, &[FLEET], &key)).await
}

async fn found(
    app: &App,
    caller: &Caller,
    id: &GroupId,
    mut reading: ReadOfOne<'_, Group>,
) -> Result<(ReadTx, GroupRow), Problem> {
    loop {
        let mut tx = app.db.read(&caller.tenant).await?;
        if let Some(row) = projections::groups::get(&mut tx, id).await? {
            return Ok((tx, row));
        }
        drop(tx);
        reading.look_again(UNKNOWN, Group::is_active).await?;
    }
}

//! `PATCH` and `PUT /groups/{id}`: change what operators said of a group, as a merge-patch.

use axum::extract::State;
use domain::campaign::TargetFilters;
use domain::change::Change;
use domain::group::{Group, GroupCommand, GroupPatch};
use domain::{GroupId, Key, Sealed};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::GroupBody;
use crate::auth::Caller;
use crate::campaigns::TargetFiltersSchema;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::GroupPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{CommandRequest, Envelope, Patch, Path, Problem, Reply};
use crate::state::App;

/// What to change: absent fields stay, `null` clears the description.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"name": "Hall 4", "description": null, "reason": "moved"}))]
pub(crate) struct GroupAmendment {
    /// If given, it must be the group's own.
    group_id: Option<String>,
    #[schema(value_type = Option<String>)]
    name: Change<String>,
    #[schema(value_type = Option<String>)]
    description: Change<String>,
    /// Dynamic groups only. It replaces the whole filter.
    #[schema(value_type = Option<TargetFiltersSchema>)]
    filter: Change<TargetFilters>,
    reason: Option<String>,
}

impl GroupAmendment {
    fn checked(self, id: &GroupId) -> Result<(GroupPatch, Option<String>), Problem> {
        let mut checks = Checks::default();
        if self.group_id.is_some_and(|given| given != id.as_str()) {
            checks.fail("group_id", "differs from the path");
        }
        let name = must_stay("name", self.name, &mut checks);
        let filter = must_stay("filter", self.filter, &mut checks);
        let description = match self.description {
            Change::Set(text) => Change::Set(Sealed::Plain(text)),
            Change::Clear => Change::Clear,
            Change::Keep => Change::Keep,
        };
        checks.finish()?;
        Ok((GroupPatch { name: name.map(Sealed::Plain), description, filter }, self.reason))
    }
}

/// A field that can be set and not cleared.
fn must_stay<T>(field: &str, change: Change<T>, checks: &mut Checks) -> Option<T> {
    match change {
        Change::Keep => None,
        Change::Set(value) => Some(value),
        Change::Clear => {
            checks.fail(field, "can't be cleared");
            None
        }
    }
}

/// Change a group
///
/// A merge-patch: absent fields stay. A given filter replaces the whole filter. The kind never changes.
#[utoipa::path(
    patch, path = "/groups/{group_id}", tag = "groups", request_body = GroupAmendment, params(GroupPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<GroupBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "A static group has no filter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn amend_group(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Patch(wanted)): CommandRequest<Patch<GroupAmendment>>,
) -> Result<Reply<GroupBody>, Problem> {
    amend(&app, &caller, &envelope, &path.group_id, wanted).await
}

/// Change a group (the same as PATCH)
#[utoipa::path(
    put, path = "/groups/{group_id}", tag = "groups", request_body = GroupAmendment, params(GroupPath, CommandHeaders),
    responses((status = 200, body = WithPosition<GroupBody>))
)]
pub(crate) async fn replace_group(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Patch(wanted)): CommandRequest<Patch<GroupAmendment>>,
) -> Result<Reply<GroupBody>, Problem> {
    amend(&app, &caller, &envelope, &path.group_id, wanted).await
}

async fn amend(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: &GroupId,
    wanted: GroupAmendment,
) -> Result<Reply<GroupBody>, Problem> {
    let (patch, reason) = wanted.checked(id)?;
    let key = Key::<Group>::new(&caller.tenant, id);
    let done = app.command(caller, envelope, &key, GroupCommand::Amend { patch }, reason).await?;
    Ok(done.reply(GroupBody::done(id, &done)))
}

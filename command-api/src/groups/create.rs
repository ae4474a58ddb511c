//! `POST /groups`: create a group.

use axum::extract::State;
use domain::campaign::TargetFilters;
use domain::group::{Group, GroupCommand, GroupKind, GroupSpec};
use domain::{GroupId, Key, Sealed};
use event_store::ExecuteError;
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{GroupBody, location};
use crate::auth::{Caller, Operator};
use crate::campaigns::TargetFiltersSchema;
use crate::devices::key;
use crate::fields::{self, Checks};
use crate::http::commands::CommandHeaders;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Problem, Reply};
use crate::state::App;

/// A group to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "group_id": "beta", "name": "Beta testers", "kind": "dynamic", "filter": {"tags": {"ring": "beta"}},
}))]
pub(crate) struct GroupRequest {
    /// `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`; generated when absent.
    group_id: Option<String>,
    name: String,
    description: Option<String>,
    /// `static` (the default without a filter) or `dynamic`. It never changes.
    #[schema(value_type = Option<String>, example = "dynamic")]
    kind: Option<GroupKind>,
    /// Which devices are members of a dynamic group, at any moment. At least one condition; all must match.
    #[schema(value_type = Option<TargetFiltersSchema>)]
    filter: Option<TargetFilters>,
    reason: Option<String>,
}

impl GroupRequest {
    fn checked(self) -> Result<GroupSpec, Problem> {
        let mut checks = Checks::default();
        match (self.kind, &self.filter) {
            (Some(GroupKind::Static), Some(_)) => checks.fail("filter", "belongs to the kind dynamic"),
            (Some(GroupKind::Dynamic), None) => checks.fail("filter", "is missing: a dynamic group needs one"),
            (None | Some(GroupKind::Static), None) | (None | Some(GroupKind::Dynamic), Some(_)) => {}
        }
        let description = self.description.map(Sealed::Plain);
        let spec = GroupSpec { name: Sealed::Plain(self.name), description, filter: self.filter };
        checks.violations(spec.violations());
        checks.finish()?;
        Ok(spec)
    }
}

/// Create a group
///
/// A static group gets its members by `POST /groups/{group_id}/members`. A dynamic one has a filter; its members are the devices in service
/// that match when it is read, and when a campaign that targets it is planned. The id of a deleted group can be used again. Needs role
/// operator.
#[utoipa::path(
    post, path = "/groups", tag = "groups", request_body = GroupRequest, params(CommandHeaders),
    responses(
        (status = 201, body = WithPosition<GroupBody>),
        (status = 200, description = "It was created with the same data", body = WithPosition<GroupBody>),
        (status = 409, description = "The id belongs to another group", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_group(
    State(app): State<App>,
    Operator(caller): Operator,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<GroupRequest>>,
) -> Result<Reply<GroupBody>, Problem> {
    let chosen = wanted.group_id.clone().map(fields::group_id).transpose()?;
    let reason = wanted.reason.clone();
    let spec = wanted.checked()?;
    let id = own_id(&app, &caller, &envelope, chosen.as_ref()).await?;
    let key = Key::<Group>::new(&caller.tenant, &id);
    let outcome = app.command(&caller, &envelope, &key, GroupCommand::Create { spec }, reason).await;
    if let (Err(problem), Some(id)) = (&outcome, &chosen)
        && problem.status().is_client_error()
    {
        key::release(&app, &caller, &envelope, &key, id.to_string()).await;
    }
    let done = outcome?;
    Ok(done.reply_created(GroupBody::done(&id, &done), location(&id)))
}

/// The id of the new group. Binds the idempotency key to an id that the client chose.
async fn own_id(app: &App, caller: &Caller, envelope: &Envelope, chosen: Option<&GroupId>) -> Result<GroupId, Problem> {
    let generated = fields::group_id(envelope.new_id(caller).to_string())?;
    let Some(chosen) = chosen else {
        key::is_free(app, caller, envelope).await?;
        return Ok(generated);
    };
    if envelope.has_key() && app.store.load_fresh(&Key::<Group>::new(&caller.tenant, &generated)).await?.version > 0 {
        return Err(ExecuteError::CommandIdReused.into());
    }
    key::claim_for(app, caller, envelope, chosen.to_string()).await?;
    Ok(chosen.clone())
}

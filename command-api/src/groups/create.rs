//! `POST /groups`: create a group.

use axum::extract::State;
use domain::campaign::TargetFilters;
use domain::group::{Group, GroupCommand, GroupKind, GroupSpec};
use domain::{Key, Sealed};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{GroupBody, location};
use crate::auth::Caller;
use crate::campaigns::TargetFiltersSchema;
use crate::devices::key;
use crate::fields::{self, Checks};
use crate::http::commands::CommandHeaders;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Problem, Reply};
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
/// that match when it is read, and when a campaign that targets it is planned. The id of a deleted group can be used again.
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
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<GroupRequest>>,
) -> Result<Reply<GroupBody>, Problem> {
    let chosen = wanted.group_id.clone().map(fields::group_id).transpose()?;
    let reason = wanted.reason.clone();
    let spec = wanted.checked()?;
    let generated = fields::group_id(envelope.new_id(&caller).to_string())?;
    let id = chosen.clone().unwrap_or_else(|| generated.clone());
    let chosen = chosen.map(|id| id.to_string());
    let [group, generated] = [&id, &generated].map(|id| Key::<Group>::new(&caller.tenant, id));
    key::claim_id(&app, &caller, &envelope, &generated, chosen.clone()).await?;
    let outcome = app.command(&caller, &envelope, &group, GroupCommand::Create { spec }, reason).await;
    key::release_id(&app, &caller, &envelope, &outcome, &group, chosen).await;
    let done = outcome?;
    Ok(done.reply_created(GroupBody::done(&id, &done), location(&id)))
}

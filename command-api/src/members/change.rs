//! `PUT` and `DELETE /members/{member}`.

use std::time::Duration;

use axum::extract::State;
use domain::member::{self, Member, MemberCommand};
use domain::{Key, MemberId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{GrantBody, MemberBody};
use crate::auth::{Caller, Role};
use crate::devices::ReasonRequest;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::MemberPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// How long a reply waits until this process knows of the change.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// What an actor may do; replaces what they had.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "grants": [{"role": "viewer"}, {"role": "operator", "groups": ["hall-3"], "own": true}], "reason": "shift leader of hall 3",
}))]
pub(crate) struct GrantsRequest {
    /// 1 to 16.
    grants: Vec<GrantBody>,
    reason: Option<String>,
}

impl App {
    /// Waits until this process has heard of all members up to a position.
    pub(super) async fn knows_members(&self, position: u64) -> Result<(), Problem> {
        Ok(self.known_members()?.reached(position, KNOWN_WITHIN).await?)
    }
}

/// Grant rights to an actor
///
/// Beside what the actor's token says, in every process within a second. They replace what was granted before. A role that is limited to devices opens
/// `/devices` (the list shows only these), everything under `/devices/{device_id}` and `/updates/{update_id}` of them, and campaigns whose only targets are
/// its groups; other devices and campaigns don't exist for it. It opens no groups, firmware and bulk commands. An actor who hasn't called yet may be named.
#[utoipa::path(
    put, path = "/members/{member}", tag = "members", request_body = GrantsRequest, params(MemberPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<MemberBody>),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn grant_member(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<MemberPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<GrantsRequest>>,
) -> Result<Reply<MemberBody>, Problem> {
    let mut checks = Checks::default();
    for (index, grant) in wanted.grants.iter().enumerate() {
        if grant.role == Role::PlatformAdmin {
            checks.fail(format!("grants[{index}].role"), "viewer, operator, approver or admin");
        }
    }
    let grants: Vec<_> = wanted.grants.into_iter().map(GrantBody::into_grant).collect();
    checks.violations(member::violations(&grants));
    checks.finish()?;
    let command = MemberCommand::Grant { member: path.member.clone(), grants };
    let key = Key::<Member>::new(&caller.tenant, &MemberId::of(&path.member));
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    app.knows_members(if done.dry_run { 0 } else { done.position.sequence }).await?;
    Ok(done.reply(MemberBody::of(&done.aggregate, done.version)))
}

/// Take an actor's rights away
///
/// Those that the tenant has granted. What the actor's token says stays until it expires.
#[utoipa::path(
    delete, path = "/members/{member}", tag = "members", request_body = ReasonRequest,
    params(MemberPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<MemberBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_member(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<MemberPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<MemberBody>, Problem> {
    let key = Key::<Member>::new(&caller.tenant, &MemberId::of(&path.member));
    let done = app.command(&caller, &envelope, &key, MemberCommand::Remove, wanted.reason).await?;
    app.knows_members(if done.dry_run { 0 } else { done.position.sequence }).await?;
    Ok(done.reply(MemberBody::of(&done.aggregate, done.version)))
}

//! `POST` and `DELETE /groups/{id}/members`: add and remove members of a static group.
//!
//! A request names up to 10,000 devices. It is stored in steps of [`CHANGE_DEVICES_MAX`], since a record of the log has a largest size. If a
//! later step fails, the earlier ones are stored; the same request sent again stores the rest.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use domain::group::{CHANGE_DEVICES_MAX, Group, GroupCommand, GroupEvent};
use domain::{DeviceId, GroupId, Key, Rejection};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Caller, Operator};
use crate::devices::is_known;
use crate::fields;
use crate::http::commands::CommandHeaders;
use crate::http::outcomes::{Accepted, BulkItem, IN_FLIGHT_MAX, Outcome};
use crate::http::path::GroupPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Done, Envelope, Path, Problem, Reply};
use crate::state::App;

/// Most devices of one request.
const ITEMS_MAX: usize = 10_000;

/// Devices to add or to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"device_ids": ["d-1", "d-2"], "reason": "moved to hall 3"}))]
pub(crate) struct MembersRequest {
    /// 1 to 10,000.
    device_ids: Vec<String>,
    reason: Option<String>,
}

/// A group after a change of its members, with an outcome for each device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembersChanged {
    group_id: String,
    /// Members after the change.
    member_count: usize,
    /// Devices that were added or removed. Others were members already, or were none.
    changed: usize,
    succeeded: usize,
    failed: usize,
    items: Vec<BulkItem>,
    /// Number of the group's events: its `ETag`.
    version: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

/// Add members to a group
///
/// Up to 10,000 devices, each with its own outcome: 201 for a new member, 200 for one that was a member already, 404 for an unknown device,
/// 422 for an id that no device can have. 409 for a dynamic group, and if the group would have more than 100,000 members. Needs role operator.
#[utoipa::path(
    post, path = "/groups/{group_id}/members", tag = "groups", request_body = MembersRequest, params(GroupPath, CommandHeaders),
    responses(
        (status = 200, description = "An outcome for each device", body = WithPosition<MembersChanged>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add_members(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<MembersRequest>>,
) -> Result<Reply<MembersChanged>, Problem> {
    change(&app, &caller, &envelope, &path.group_id, wanted, Change::Add).await
}

/// Remove members from a group
///
/// Up to 10,000 devices, each with its own outcome: 200, also for a device that is no member. 409 for a dynamic group. Needs role operator.
#[utoipa::path(
    delete, path = "/groups/{group_id}/members", tag = "groups", request_body = MembersRequest, params(GroupPath, CommandHeaders),
    responses(
        (status = 200, description = "An outcome for each device", body = WithPosition<MembersChanged>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_members(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<MembersRequest>>,
) -> Result<Reply<MembersChanged>, Problem> {
    change(&app, &caller, &envelope, &path.group_id, wanted, Change::Remove).await
}

async fn change(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: &GroupId,
    wanted: MembersRequest,
    change: Change,
) -> Result<Reply<MembersChanged>, Problem> {
    let MembersRequest { device_ids, reason } = wanted;
    if device_ids.is_empty() || device_ids.len() > ITEMS_MAX {
        return Err(Problem::invalid("device_ids", format!("1 to {ITEMS_MAX} devices")));
    }
    let key = Key::<Group>::new(&caller.tenant, id);
    let group = app.store.load_fresh(&key).await?;
    if !group.aggregate.is_active() {
        return Err(Rejection::GroupUnknown.into());
    }
    let items = judge(app, caller, device_ids.clone(), change).await?;
    let devices: BTreeSet<&DeviceId> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
    if change == Change::Add {
        group.aggregate.has_room_for(devices.iter().copied())?;
    }
    let devices: Vec<DeviceId> = devices.into_iter().cloned().collect();
    let (done, changed) = store(app, caller, envelope, &key, &devices, change, reason).await?;
    let outcomes = items.into_iter().zip(device_ids).map(|(item, given)| {
        let is_new = |device: &DeviceId| change == Change::Add && changed.contains(device);
        let status = |device: DeviceId| if is_new(&device) { StatusCode::CREATED } else { StatusCode::OK };
        let sequence = done.position.sequence;
        let result = item.map(|device| Accepted { status: status(device), update_id: None, sequence });
        Outcome { id: Some(given), row: None, result }
    });
    let items: Vec<BulkItem> = outcomes.enumerate().map(|(index, outcome)| outcome.item(index)).collect();
    let failed = items.iter().filter(|item| item.is_refused()).count();
    Ok(done.reply(MembersChanged {
        group_id: id.to_string(),
        member_count: done.aggregate.members.len(),
        changed: changed.len(),
        succeeded: items.len() - failed,
        failed,
        items,
        version: done.version,
    }))
}

/// Each id as a device, or why it can't be a member. Only what is added must be known.
async fn judge(
    app: &App,
    caller: &Caller,
    given: Vec<String>,
    change: Change,
) -> Result<Vec<Result<DeviceId, Problem>>, Problem> {
    let looks = given.into_iter().map(async |text| {
        let device = match fields::device_id(text) {
            Ok(device) => device,
            Err(problem) => return Ok(Err(problem)),
        };
        if change == Change::Add && !is_known(app, caller, &device).await? {
            return Ok(Err(Rejection::DeviceUnknown.into()));
        }
        Ok::<_, Problem>(Ok(device))
    });
    futures::stream::iter(looks).buffered(IN_FLIGHT_MAX).try_collect().await
}

/// Stores the change step by step; at least one, which may find that the group has no members of its own. Returns the last outcome, and the
/// devices that all steps changed.
async fn store(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    key: &Key<Group>,
    devices: &[DeviceId],
    change: Change,
    reason: Option<String>,
) -> Result<(Done<Group>, BTreeSet<DeviceId>), Problem> {
    let (first, rest) = devices.split_at(devices.len().min(CHANGE_DEVICES_MAX));
    let mut done = app.command(caller, envelope, key, command(first, change), reason.clone()).await?;
    let mut changed = changed_by(&done);
    for (index, step) in rest.chunks(CHANGE_DEVICES_MAX).enumerate() {
        done = app.command(caller, &envelope.item(index), key, command(step, change), reason.clone()).await?;
        changed.extend(changed_by(&done));
    }
    Ok((done, changed))
}

fn command(devices: &[DeviceId], change: Change) -> GroupCommand {
    let devices = devices.to_vec();
    match change {
        Change::Add => GroupCommand::AddMembers { devices },
        Change::Remove => GroupCommand::RemoveMembers { devices },
    }
}

fn changed_by(done: &Done<Group>) -> BTreeSet<DeviceId> {
    let of_event = |event: &GroupEvent| match event {
        GroupEvent::MembersAdded { devices } | GroupEvent::MembersRemoved { devices } => devices.clone(),
        GroupEvent::Created { .. } | GroupEvent::Amended { .. } | GroupEvent::Deleted {} => Vec::new(),
    };
    done.events.iter().flat_map(of_event).collect()
}

//! `POST` and `DELETE /groups/{id}/members`: add and remove members of a static group.
//!
//! A request names up to 10,000 devices. It is stored in steps of [`CHANGE_DEVICES_MAX`], since a record of the log has a largest size. If a
//! later step fails, the earlier ones are stored; the same request sent again stores the rest. What a step changes follows from the request
//! alone, so a stored step always has the same outcomes, even if devices were registered since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use domain::group::{CHANGE_DEVICES_MAX, Group, GroupCommand, GroupEvent};
use domain::{DeviceId, GroupId, Key, Rejection};
use event_store::At;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::devices::{is_known, key};
use crate::fields;
use crate::http::commands::CommandHeaders;
use crate::http::outcomes::{Accepted, BulkItem, IN_FLIGHT_MAX, Outcome, Summary};
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
    /// Devices that were added or removed. The others were members already, or (to remove) were not members.
    changed: usize,
    succeeded: usize,
    failed: usize,
    items: Vec<BulkItem>,
    /// Number of the group's events: its `ETag`.
    version: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Add,
    Remove,
}

/// Add members to a group
///
/// Up to 10,000 devices, each with its own outcome: 201 for a new member, 200 for one that was a member already, 404 for an unknown device,
/// 422 for an id that no device can have. 409 for a dynamic group, and if the group would have more than 100,000 members. `If-Match` is
/// possible for up to 5,000 devices.
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
    caller: Caller,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<MembersRequest>>,
) -> Result<Reply<MembersChanged>, Problem> {
    change(&app, &caller, &envelope, &path.group_id, wanted, Direction::Add).await
}

/// Remove members from a group
///
/// Up to 10,000 devices, each with its own outcome: 200, also for a device that is no member. 409 for a dynamic group. `If-Match` is possible
/// for up to 5,000 devices.
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
    caller: Caller,
    Path(path): Path<GroupPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<MembersRequest>>,
) -> Result<Reply<MembersChanged>, Problem> {
    change(&app, &caller, &envelope, &path.group_id, wanted, Direction::Remove).await
}

async fn change(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: &GroupId,
    wanted: MembersRequest,
    direction: Direction,
) -> Result<Reply<MembersChanged>, Problem> {
    let MembersRequest { device_ids, reason } = wanted;
    if device_ids.is_empty() || device_ids.len() > ITEMS_MAX {
        return Err(Problem::invalid("device_ids", format!("1 to {ITEMS_MAX} devices")));
    }
    let reason = envelope.reason_with(reason)?;
    let key = Key::<Group>::new(&caller.tenant, id);
    let change = MembersChange { app, caller, envelope, key, direction, reason };
    let named: Vec<_> = device_ids.into_iter().map(|id| (id.clone(), fields::device_id(id))).collect();
    let steps = change.steps(named.iter().filter_map(|(_, device)| device.as_ref().ok()).collect()).await?;
    let Stored { last, statuses, changed, member_count } = change.store_or_release(steps).await?;
    let outcome = |(id, device): (String, Result<DeviceId, Problem>)| {
        let status = |device| statuses.get(&device).copied().flatten().ok_or_else(|| Rejection::DeviceUnknown.into());
        let accepted = |status| Accepted { status, update_id: None, sequence: last.position.sequence };
        Outcome { id: Some(id), row: None, result: device.and_then(status).map(accepted) }
    };
    let Summary { items, succeeded, failed, .. } = Summary::of(named.into_iter().map(outcome).collect())?;
    let (group_id, version) = (id.to_string(), last.version);
    Ok(last.reply(MembersChanged { group_id, member_count, changed, succeeded, failed, items, version }))
}

/// A request to change the members of a group.
struct MembersChange<'a> {
    app: &'a App,
    caller: &'a Caller,
    envelope: &'a Envelope,
    key: Key<Group>,
    direction: Direction,
    reason: Option<String>,
}

/// Devices that one command adds or removes.
struct Step {
    envelope: Envelope,
    /// As named.
    devices: Vec<DeviceId>,
    /// What it stored when the request was sent before.
    first: Option<Done<Group>>,
    /// Devices that it changes. Only what is added must be known.
    known: Vec<DeviceId>,
}

/// What all steps did.
struct Stored {
    last: Done<Group>,
    /// Of each device; none for an unknown one.
    statuses: BTreeMap<DeviceId, Option<StatusCode>>,
    changed: usize,
    member_count: usize,
}

impl MembersChange<'_> {
    /// The steps of the devices, by id; at least one, which may find that the group has no members of its own.
    async fn steps(&self, devices: BTreeSet<&DeviceId>) -> Result<Vec<Step>, Problem> {
        let devices: Vec<DeviceId> = devices.into_iter().cloned().collect();
        let (first, rest) = devices.split_at(devices.len().min(CHANGE_DEVICES_MAX));
        let rest = rest.chunks(CHANGE_DEVICES_MAX).enumerate();
        let rest = rest.map(|(index, devices)| (self.envelope.item(index), devices.to_vec()));
        let mut steps = Vec::new();
        for (envelope, devices) in [(self.envelope.clone(), first.to_vec())].into_iter().chain(rest) {
            let first = self.app.repeated(self.caller, &envelope, &self.key).await?;
            steps.push(Step { envelope, devices, first, known: Vec::new() });
        }
        if steps.len() > 1 && self.envelope.has_if_match() {
            let detail =
                format!("If-Match can't be used for more than {CHANGE_DEVICES_MAX} devices: they are stored in steps");
            return Err(Problem::bad_request(detail));
        }
        for step in steps.iter_mut().filter(|step| step.first.is_none()) {
            step.known = self.check_devices(&step.devices).await?;
        }
        Ok(steps)
    }

    /// The devices that can be changed.
    async fn check_devices(&self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, Problem> {
        if self.direction == Direction::Remove {
            return Ok(devices.to_vec());
        }
        let look = async |device: DeviceId| {
            Ok::<_, Problem>(is_known(self.app, self.caller, &device).await?.then_some(device))
        };
        let looks = devices.iter().cloned().map(look);
        let known: Vec<Option<DeviceId>> = futures::stream::iter(looks).buffered(IN_FLIGHT_MAX).try_collect().await?;
        Ok(known.into_iter().flatten().collect())
    }

    /// Stores the steps. A request of several steps binds the key, which several commands use; a refused one leaves it free.
    async fn store_or_release(&self, steps: Vec<Step>) -> Result<Stored, Problem> {
        let is_repeated = steps.iter().any(|step| step.first.is_some());
        let binds = !is_repeated && steps.len() > 1;
        if !is_repeated {
            self.check_group(&steps).await?;
            let (app, caller, envelope) = (self.app, self.caller, self.envelope);
            match binds {
                true => key::claim_for(app, caller, envelope, envelope.digest_hex()).await?,
                false => key::is_free(app, caller, envelope).await?,
            }
        }
        let outcome = self.store(steps).await;
        let is_nothing = match &outcome {
            Ok(stored) => stored.changed == 0,
            Err(problem) => problem.status().is_client_error(),
        };
        if binds && is_nothing {
            key::release(self.app, self.caller, self.envelope, &self.key, self.envelope.digest_hex()).await;
        }
        outcome
    }

    /// All or nothing: a later step would otherwise find that the group has no room.
    async fn check_group(&self, steps: &[Step]) -> Result<(), Problem> {
        let group = self.app.store.load_fresh(&self.key).await?;
        if !group.aggregate.is_active() {
            return Err(Rejection::GroupUnknown.into());
        }
        if self.direction == Direction::Add {
            group.aggregate.has_room_for(steps.iter().flat_map(|step| &step.known))?;
        }
        Ok(())
    }

    async fn store(&self, steps: Vec<Step>) -> Result<Stored, Problem> {
        let (mut last, mut statuses, mut changes, mut member_count) = (None, BTreeMap::new(), 0, 0);
        for step in steps {
            if step.first.is_none() && step.known.is_empty() && last.is_some() {
                statuses.extend(step.devices.into_iter().map(|device| (device, None)));
                continue;
            }
            let (done, group) = self.store_step(step.first, &step.envelope, step.known).await?;
            let changed = changed_by(&done);
            let status = |device: &DeviceId| match self.direction {
                Direction::Add if changed.contains(device) => Some(StatusCode::CREATED),
                Direction::Add => group.members.contains(device).then_some(StatusCode::OK),
                Direction::Remove => Some(StatusCode::OK),
            };
            statuses.extend(step.devices.into_iter().map(|device| (device.clone(), status(&device))));
            // On a dry run each step begins with the stored group.
            member_count = match self.direction {
                Direction::Add if done.dry_run => group.members.len() + changes,
                Direction::Remove if done.dry_run => group.members.len() - changes,
                Direction::Add | Direction::Remove => group.members.len(),
            };
            changes += changed.len();
            last = Some(done);
        }
        let last = last.ok_or_else(|| Problem::internal("a change of members has no step"))?;
        Ok(Stored { last, statuses, changed: changes, member_count })
    }

    /// A step's outcome, and the group after it: as it was then if the step was stored before.
    async fn store_step(
        &self,
        first: Option<Done<Group>>,
        envelope: &Envelope,
        devices: Vec<DeviceId>,
    ) -> Result<(Done<Group>, Arc<Group>), Problem> {
        if let Some(done) = first {
            let then = self.app.store.load_at(&self.key, At::Position(done.position.sequence)).await?;
            return Ok((done, then.aggregate));
        }
        let command = match self.direction {
            Direction::Add => GroupCommand::AddMembers { devices },
            Direction::Remove => GroupCommand::RemoveMembers { devices },
        };
        let done = self.app.command(self.caller, envelope, &self.key, command, self.reason.clone()).await?;
        let group = done.aggregate.clone();
        Ok((done, group))
    }
}

fn changed_by(done: &Done<Group>) -> BTreeSet<DeviceId> {
    let of_event = |event: &GroupEvent| match event {
        GroupEvent::MembersAdded { devices } | GroupEvent::MembersRemoved { devices } => devices.clone(),
        GroupEvent::Created { .. } | GroupEvent::Amended { .. } | GroupEvent::Deleted {} => Vec::new(),
    };
    done.events.iter().flat_map(of_event).collect()
}

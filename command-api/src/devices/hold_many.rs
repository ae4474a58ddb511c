//! `POST /devices/bulk/hold` and `/release`: hold or release many devices, by id, group or filter.
//!
//! Group and filters are resolved at the position that the reply names. A request takes up to [`DEVICES_MAX`] devices, in the order of their
//! ids; the reply says where a further request goes on. Each device decides by itself and has its own outcome, so a request can be repeated at
//! any time. A repeated request selects again: a device that is selected in both gets its first outcome.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use domain::campaign::TargetFilters;
use domain::device::{Device, DeviceCommand};
use domain::{DeviceId, GroupId, Key};
use futures::StreamExt;
use projections::devices::DeviceFilter;
use projections::{FLEET, groups, selection};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::key;
use crate::auth::Caller;
use crate::campaigns::TargetFiltersSchema;
use crate::fields::{Checks, NamedDevice, named_devices};
use crate::http::commands::NO_REASON;
use crate::http::outcomes::{Accepted, BulkItem, IN_FLIGHT_MAX, Outcome, Summary};
use crate::http::position::wait_for_the_end;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Problem, Reply};
use crate::state::App;

/// Most devices of one request.
const DEVICES_MAX: usize = 10_000;
/// What a device's connection can be.
const STATUSES: [&str; 3] = ["online", "offline", "never_seen"];

/// Headers of a hold or a release of many devices. There is no `If-Match`, because it names the version of one device.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Envelope` reads by hand")]
pub(crate) struct HoldHeaders {
    /// With the same body the same key selects the devices of group and filters again, and gives the first outcome of each device that was
    /// selected before; with another body 422. So every page, which has its own `after`, needs a key of its own.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// Correlates everything that follows in the audit. Without it the request has an id of its own.
    #[param(rename = "X-Correlation-Id")]
    correlation_id: Option<Uuid>,
}

/// Devices to hold or to release: either `device_ids`, or at least one of `group`, `target_filters`, `q`, `status` and `owner`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"target_filters": {"tags": {"site": "north"}}, "reason": "audit of the site"}))]
pub(crate) struct BulkHoldRequest {
    /// Up to 10,000.
    device_ids: Vec<String>,
    /// The devices in service of this group, static or dynamic.
    group: Option<String>,
    /// The devices in service that match; with a group, among its devices.
    #[schema(value_type = Option<TargetFiltersSchema>)]
    target_filters: Option<TargetFilters>,
    /// The devices in service whose id or name begins so, in any case; with others, all must hold.
    q: Option<String>,
    /// The devices in service that are `online`, `offline` or `never_seen` when the request is handled.
    status: Option<String>,
    /// The devices in service of this owner.
    owner: Option<String>,
    /// `next_after` of the reply before.
    after: Option<String>,
    /// To hold only: when the hold ends. Without it, when the device is released.
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
}

/// What became of the devices of one request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManyDevices {
    /// Devices whose hold was changed. The others were already held, or not held, as requested.
    changed: usize,
    succeeded: usize,
    failed: usize,
    items: Vec<BulkItem>,
    /// More devices are selected: send the request again with this as `after`. Null when all are done.
    next_after: Option<String>,
    /// Where group and filters were resolved; null for `device_ids`.
    #[schema(example = "1790000000123-42")]
    selected_at: Option<String>,
    /// Of all events of this request.
    correlation_id: Uuid,
}

/// Which devices a request is for.
enum Selection {
    Named(Vec<String>),
    Found { filter: Box<DeviceFilter>, group: Option<GroupId>, after: Option<DeviceId> },
}

/// The devices that one request takes.
struct Selected {
    devices: Vec<NamedDevice>,
    next_after: Option<String>,
    at: Option<u64>,
}

impl BulkHoldRequest {
    fn selection(self, mut checks: Checks) -> Result<Selection, Problem> {
        let is_listed = [&self.q, &self.status, &self.owner].into_iter().any(Option::is_some);
        let is_found = self.group.is_some() || self.target_filters.is_some() || is_listed;
        match (self.device_ids.len(), is_found) {
            (0, false) => {
                checks.fail("device_ids", "no device: give device_ids, group, target_filters, q, status or owner")
            }
            (1.., true) => checks.fail("device_ids", "excludes group, target_filters, q, status and owner"),
            (1..=DEVICES_MAX, false) | (0, true) => {}
            (_, false) => checks.fail("device_ids", format!("more than {DEVICES_MAX}")),
        }
        if self.after.is_some() && !is_found {
            checks.fail("after", "belongs to group, target_filters, q, status and owner");
        }
        let filters = self.target_filters.unwrap_or_default();
        if is_found && self.group.is_none() && !is_listed && filters.is_empty() {
            checks.fail("target_filters", "must have at least one condition");
        }
        if self.q.as_ref().is_some_and(|text| text.trim().is_empty()) {
            checks.fail("q", "must have at least one character");
        }
        if self.status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
            checks.fail("status", format!("is one of {}", STATUSES.join(", ")));
        }
        checks.violations(filters.violations("target_filters"));
        checks.finish()?;
        if !is_found {
            return Ok(Selection::Named(self.device_ids));
        }
        let invalid = |field: &str, error: domain::ids::InvalidId| Problem::invalid(field, error.to_string());
        let group = self.group.map(GroupId::new).transpose().map_err(|error| invalid("group", error))?;
        let after = self.after.map(DeviceId::new).transpose().map_err(|error| invalid("after", error))?;
        let (prefix, status, owner) = (self.q, self.status, self.owner);
        let filter = DeviceFilter { matching: Some(filters), prefix, status, owner, ..DeviceFilter::default() };
        Ok(Selection::Found { filter: Box::new(filter), group, after })
    }
}

/// Hold many devices
///
/// Devices by id, or those in service that a group and filters select, in the order of their ids: up to 10,000 in a request. If more are
/// selected, `next_after` says where the next request goes on. Each device has its own outcome. A device that becomes a member of the group
/// later is not held.
#[utoipa::path(
    post, path = "/devices/bulk/hold", tag = "devices", request_body = BulkHoldRequest, params(HoldHeaders),
    responses(
        (status = 200, description = "An outcome for each device", body = WithPosition<ManyDevices>),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Group and filters need PostgreSQL", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn hold_devices(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<BulkHoldRequest>>,
) -> Result<Reply<ManyDevices>, Problem> {
    let mut checks = Checks::default();
    checks.time("until", wanted.until);
    let command = DeviceCommand::Hold { until: wanted.until };
    execute(&app, &caller, &envelope, wanted, command, checks).await
}

/// Release many devices
///
/// Selected as by `POST /devices/bulk/hold`.
#[utoipa::path(
    post, path = "/devices/bulk/release", tag = "devices", request_body = BulkHoldRequest, params(HoldHeaders),
    responses(
        (status = 200, description = "An outcome for each device", body = WithPosition<ManyDevices>),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Group and filters need PostgreSQL", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn release_devices(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<BulkHoldRequest>>,
) -> Result<Reply<ManyDevices>, Problem> {
    let mut checks = Checks::default();
    if wanted.until.is_some() {
        checks.fail("until", "belongs to hold");
    }
    execute(&app, &caller, &envelope, wanted, DeviceCommand::Release, checks).await
}

async fn execute(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    wanted: BulkHoldRequest,
    command: DeviceCommand,
    checks: Checks,
) -> Result<Reply<ManyDevices>, Problem> {
    let reason = envelope.reason_with(wanted.reason.clone())?;
    let (envelope, correlation_id) = envelope.of_many(caller)?;
    let selected = select(app, caller, wanted.selection(checks)?).await?;
    // Binds the key to this request: the devices alone would each refuse another one. A refused request leaves it free.
    key::claim_for(app, caller, &envelope, envelope.digest_hex()).await?;
    let one = async |(id, device): NamedDevice| {
        let result = hold_or_release(app, caller, &envelope, device, command.clone(), reason.clone()).await;
        (id, result)
    };
    let results: Vec<_> =
        futures::stream::iter(selected.devices.into_iter().map(one)).buffered(IN_FLIGHT_MAX).collect().await;
    let changed = results.iter().filter(|(_, result)| matches!(result, Ok((_, true)))).count();
    let outcome = |(id, result): (String, Result<(u64, bool), Problem>)| {
        let result = result.map(|(sequence, _)| Accepted { status: StatusCode::OK, update_id: None, sequence });
        Outcome { id: Some(id), row: None, result }
    };
    let Summary { items, succeeded, failed, sequence } = Summary::of(results.into_iter().map(outcome).collect())?;
    let selected_at = match selected.at {
        Some(at) => Some(app.token(at).await?.to_string()),
        None => None,
    };
    let position = app.token(sequence.or(selected.at).unwrap_or(0)).await?;
    let next_after = selected.next_after;
    let body = ManyDevices { changed, succeeded, failed, items, next_after, selected_at, correlation_id };
    let reply = Reply::ok(body, position).dry_run(envelope.dry_run);
    Ok(if reason.is_none_or(|reason| reason.trim().is_empty()) { reply.warning(NO_REASON) } else { reply })
}

/// The sequence number of a device's last event, and whether the command changed the device.
async fn hold_or_release(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    device: Result<DeviceId, Problem>,
    command: DeviceCommand,
    reason: Option<String>,
) -> Result<(u64, bool), Problem> {
    let device = device?;
    let key = Key::<Device>::new(&caller.tenant, &device);
    let done = app.command(caller, &envelope.item_named(device.as_str()), &key, command, reason).await?;
    Ok((done.position.sequence, !done.events.is_empty()))
}

async fn select(app: &App, caller: &Caller, selection: Selection) -> Result<Selected, Problem> {
    let (mut filter, group, after) = match selection {
        Selection::Named(ids) => {
            return Ok(Selected { devices: named_devices(ids), next_after: None, at: None });
        }
        Selection::Found { filter, group, after } => (*filter, group, after),
    };
    wait_for_the_end(app, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    if let Some(group) = group {
        let row = groups::get(&mut tx, &group).await?;
        filter.group = Some(row.ok_or_else(|| Problem::invalid("group", "there is no such group"))?);
    }
    let (page, at) = selection::device_ids(&mut tx, &filter, after.as_ref(), DEVICES_MAX).await?;
    let next_after = page.next.and_then(|key| key.into_iter().next());
    let devices = page.items.into_iter().map(|device| (device.to_string(), Ok(device))).collect();
    Ok(Selected { devices, next_after, at: Some(at) })
}

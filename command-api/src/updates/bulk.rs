//! `POST /devices/bulk/update`: an update of many devices.
//!
//! Devices that are named get an update each, with an outcome of its own. A group or filters make a campaign, because nobody knows how many
//! devices they match.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::campaign::TargetFilters;
use domain::device::{Device, DeviceCommand, UpdateRequest};
use domain::preconditions::Preconditions;
use domain::values::Priority;
use domain::{FirmwareId, Key, UpdateId};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::order::{UpdateOrder, timeout_default, usable_firmware, wait_default};
use super::request::queued_ordinal;
use crate::auth::Caller;
use crate::campaigns::{self, Started};
use crate::devices::key;
use crate::fields::{NamedDevice, named_devices};
use crate::http::outcomes::{self, Accepted, BulkHeaders, BulkReply, IN_FLIGHT_MAX, Outcome};
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Problem};
use crate::state::App;

/// Most devices that one request names.
const DEVICES_MAX: usize = 1_000;

/// An order to update many devices: those that are named, or those of a group or that match filters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_ids": ["d-1", "d-2"], "firmware_id": "7c9e6679-7425-5de3-944b-e07fc1f90ae7", "priority": "high", "reason": "security fix",
}))]
pub(crate) struct BulkUpdateRequest {
    /// 1 to 1,000 devices. Each gets an update of its own.
    device_ids: Option<Vec<String>>,
    /// Instead of `device_ids`: an immediate campaign for the members of this group.
    group: Option<String>,
    /// Instead of `device_ids`: an immediate campaign for the devices that match, or for the members of `group` that match.
    #[schema(value_type = Option<campaigns::TargetFiltersSchema>)]
    target_filters: Option<TargetFilters>,
    /// Name of the campaign. Public: readers of FEED see it. By default it names the version.
    name: Option<String>,
    #[schema(value_type = uuid::Uuid)]
    firmware_id: FirmwareId,
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "normal")]
    priority: Priority,
    /// Working time over all attempts, from the device's first answer.
    #[serde(default = "timeout_default")]
    #[schema(default = 60)]
    timeout_minutes: u32,
    /// Waiting time until the device's first answer; 7 days by default.
    #[serde(default = "wait_default")]
    #[schema(default = 10080)]
    wait_for_device_minutes: u32,
    /// Install even if the version runs already.
    #[serde(default)]
    force_update: bool,
    #[serde(default)]
    allow_downgrade: bool,
    #[schema(value_type = Option<campaigns::PreconditionsSchema>)]
    preconditions: Option<Preconditions>,
    /// The devices must report the SHA-256 of what they received before they leave *verifying*.
    #[serde(default)]
    require_digest_report: bool,
    reason: Option<String>,
}

/// Update many devices
///
/// With `device_ids`, up to 1,000: an update of each, and 200 with an outcome for each, as `POST /devices/{device_id}/update` would answer.
/// With `group` or `target_filters`, or both: creates an immediate campaign, starts it and answers 201 with its id; 503 without PostgreSQL.
#[utoipa::path(
    post, path = "/devices/bulk/update", tag = "updates", request_body = BulkUpdateRequest, params(BulkHeaders),
    responses(
        (status = 200, description = "An outcome for each device, or a dry run", body = BulkReply),
        (status = 201, description = "A campaign was started", body = WithPosition<Started>),
        (status = 409, description = "The firmware is withdrawn or deleted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_devices(
    State(app): State<App>,
    caller: Caller,
    headers: axum::http::HeaderMap,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<BulkUpdateRequest>>,
) -> Result<Response, Problem> {
    outcomes::without_if_match(&headers)?;
    match wanted.device_ids.clone() {
        Some(_) if wanted.group.is_some() => Err(Problem::invalid("group", "give device_ids or group, not both")),
        Some(_) if wanted.target_filters.is_some() => {
            Err(Problem::invalid("target_filters", "give device_ids or target_filters, not both"))
        }
        Some(_) if wanted.name.is_some() => {
            Err(Problem::invalid("name", "names a campaign: give it with group or target_filters"))
        }
        Some(ids) if !(1..=DEVICES_MAX).contains(&ids.len()) => {
            Err(Problem::invalid("device_ids", format!("1 to {DEVICES_MAX} devices; here are {}", ids.len())))
        }
        Some(ids) => update_named(&app, &caller, &envelope, ids, wanted).await,
        None if wanted.group.is_none() && wanted.target_filters.as_ref().is_none_or(TargetFilters::is_empty) => {
            Err(Problem::invalid("device_ids", "give device_ids, group or target_filters"))
        }
        None => update_matching(&app, &caller, &envelope, wanted).await,
    }
}

async fn update_named(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    ids: Vec<String>,
    wanted: BulkUpdateRequest,
) -> Result<Response, Problem> {
    let order = wanted.order();
    let reason = envelope.reason_with(order.reason.clone())?;
    let request = async {
        let rules = app.tenants.rules_of_dispatch(&caller.tenant).await?;
        order.request(&app.config, rules, usable_firmware(app, caller, order.firmware_id).await?)
    };
    let request = request.await;
    let owner = envelope.digest_hex();
    // A repeated request gets its first outcomes, even if the firmware has been withdrawn since.
    if let Err(problem) = &request
        && !key::is_owned_by(app, caller, envelope, &owner).await?
    {
        return Err(problem.clone());
    }
    key::claim_for(app, caller, envelope, owner).await?;
    let commands = named_devices(ids)
        .into_iter()
        .enumerate()
        .map(|(index, device)| one(app, caller, envelope.item(index), device, &request, reason.clone()));
    let outcomes = futures::stream::iter(commands).buffered(IN_FLIGHT_MAX).collect().await;
    Ok(outcomes::reply(app, envelope, outcomes).await?.into_response())
}

/// The update of one device, as if it had been requested alone.
async fn one(
    app: &App,
    caller: &Caller,
    envelope: Envelope,
    (id, device): NamedDevice,
    request: &Result<UpdateRequest, Problem>,
    reason: Option<String>,
) -> Outcome {
    let requesting = async {
        let device = device?;
        let key = Key::<Device>::new(&caller.tenant, &device);
        let done = match app.repeated(caller, &envelope, &key).await? {
            Some(done) => done,
            None => {
                let command = DeviceCommand::RequestUpdate { request: Box::new(request.clone()?) };
                app.command(caller, &envelope, &key, command, reason).await?
            }
        };
        let update_id = UpdateId { device, ordinal: queued_ordinal(&done)? }.to_string();
        let (status, sequence) = (done.created_status(), done.position.sequence);
        Ok(Accepted { status, update_id: Some(update_id), sequence })
    };
    Outcome { id: Some(id), row: None, result: requesting.await }
}

async fn update_matching(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    wanted: BulkUpdateRequest,
) -> Result<Response, Problem> {
    let name = match wanted.name.clone() {
        Some(name) => name,
        None => format!("Bulk update to {}", version_of(app, caller, wanted.firmware_id).await?),
    };
    let launched = campaigns::launch(app, caller, envelope, &wanted.campaign(&name), wanted.reason.clone()).await;
    Ok(launched.map_err(|problem| problem.renaming(field_of_request))?.into_response())
}

/// The request's field instead of the campaign's.
fn field_of_request(field: &str) -> String {
    if field.starts_with("target_groups") { "group".to_owned() } else { field.to_owned() }
}

/// The firmware's version, also if the firmware can no longer be used: a repeated request has the same name.
async fn version_of(app: &App, caller: &Caller, id: FirmwareId) -> Result<String, Problem> {
    let loaded = app.store.load_fresh(&Key::<domain::firmware::Firmware>::new(&caller.tenant, &id)).await?;
    let version = loaded.aggregate.content.as_ref().map(|(metadata, _)| metadata.version.clone());
    version.ok_or_else(|| Problem::invalid("firmware_id", "no such firmware"))
}

impl BulkUpdateRequest {
    /// The order for each device.
    fn order(&self) -> UpdateOrder {
        UpdateOrder {
            firmware_id: self.firmware_id,
            device_id: None,
            priority: self.priority,
            timeout_minutes: self.timeout_minutes,
            wait_for_device_minutes: self.wait_for_device_minutes,
            force_update: self.force_update,
            allow_downgrade: self.allow_downgrade,
            preconditions: self.preconditions,
            require_digest_report: self.require_digest_report,
            reason: self.reason.clone(),
        }
    }

    /// The campaign, as the body of `POST /campaigns`: what is not given has the defaults of campaigns.
    fn campaign(&self, name: &str) -> Value {
        json!({
            "name": name,
            "firmware_id": self.firmware_id,
            "deployment_strategy": "immediate",
            "target_groups": self.group.iter().collect::<Vec<_>>(),
            "target_filters": self.target_filters,
            "priority": self.priority,
            "timeout_minutes": self.timeout_minutes,
            "wait_for_device_minutes": self.wait_for_device_minutes,
            "force_update": self.force_update,
            "allow_downgrade": self.allow_downgrade,
            "preconditions": self.preconditions,
            "require_digest_report": self.require_digest_report,
        })
    }
}

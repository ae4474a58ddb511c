//! `POST /devices/{id}/sync` and `POST /devices/sync`: write copies in the network server again.

use axum::extract::State;
use axum::http::StatusCode;
use domain::device::{Device, DeviceCommand, NetworkCommand, SyncState};
use domain::{DeviceId, Key};
use futures::StreamExt;
use projections::FLEET;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hold::ReasonRequest;
use super::key;
use super::model::DeviceBody;
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::outcomes::IN_FLIGHT_MAX;
use crate::http::path::DevicePath;
use crate::http::position::wait_for_the_end;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Envelope, Path, Problem, Reply};
use crate::state::App;

/// Most devices of one request.
const DEVICES_MAX: usize = 10_000;

/// Sync a device with the network server
///
/// Its copy is compared and written again; one that was refused is tried again. The reply doesn't wait for that: look at `sync_state`.
#[utoipa::path(
    post, path = "/devices/{device_id}/sync", tag = "lorawan", request_body = ReasonRequest,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<DeviceBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It has no EUI or no application", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sync_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<DeviceBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let done = app.command(&caller, &envelope, &key, request_sync(), wanted.reason).await?;
    Ok(done.reply(DeviceBody::done(&path.device_id, &done)))
}

fn request_sync() -> DeviceCommand {
    DeviceCommand::Network { wanted: NetworkCommand::RequestSync }
}

/// Which devices to sync.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"sync_state": "failed", "reason": "the application was missing"}))]
pub(crate) struct SyncRequest {
    /// `failed` or `synced`; both when absent. Pending devices are synced without a request.
    sync_state: Option<String>,
    /// `next_after` of the reply before.
    after: Option<String>,
    reason: Option<String>,
}

/// What became of a request to sync many devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncedDevices {
    /// Devices that are synced again from now on.
    requested: usize,
    /// Devices that were looked at.
    devices: usize,
    /// More devices are selected: send the request again with this as `after`. Null when all are done.
    next_after: Option<String>,
}

/// Sync many devices with the network server
///
/// All that have a copy, or those in one state, in the order of their ids: up to 10,000 in a request. If there are more, `next_after` says
/// where the next request goes on.
#[utoipa::path(
    post, path = "/devices/sync", tag = "lorawan", request_body = SyncRequest, params(CommandHeaders),
    responses(
        (status = 200, body = WithPosition<SyncedDevices>),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Needs PostgreSQL", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sync_devices(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<SyncRequest>>,
) -> Result<Reply<SyncedDevices>, Problem> {
    let states = match wanted.sync_state.as_deref() {
        None => vec![SyncState::Synced, SyncState::Failed],
        Some("failed") => vec![SyncState::Failed],
        Some("synced") => vec![SyncState::Synced],
        Some(_) => return Err(Problem::invalid("sync_state", "failed or synced")),
    };
    let after = wanted.after.map(DeviceId::new).transpose();
    let after = after.map_err(|error| Problem::invalid("after", error.to_string()))?;
    let reason = envelope.reason_with(wanted.reason)?;
    let (envelope, _) = envelope.of_many(&caller)?;
    // Binds the key to this request: the devices alone would each refuse another one.
    key::claim_for(&app, &caller, &envelope, envelope.digest_hex()).await?;
    wait_for_the_end(&app, &[FLEET]).await?;
    let devices = projections::network::in_state(&app.db, &caller.tenant, &states, after.as_ref(), DEVICES_MAX).await?;
    let next_after = devices.last().filter(|_| devices.len() == DEVICES_MAX).map(DeviceId::to_string);
    let (app, caller, envelope, reason) = (&app, &caller, &envelope, &reason);
    let one = async |device: &DeviceId| sync_one(app, caller, envelope, device, reason.clone()).await;
    let results: Vec<_> = futures::stream::iter(devices.iter().map(one)).buffered(IN_FLIGHT_MAX).collect().await;
    let (mut requested, mut sequence) = (0, 0);
    for result in results {
        if let Some(at) = result? {
            requested += 1;
            sequence = sequence.max(at);
        }
    }
    let position = app.token(sequence).await?;
    let body = SyncedDevices { requested, devices: devices.len(), next_after };
    Ok(Reply::ok(body, position).dry_run(envelope.dry_run))
}

/// The sequence number of the request's event; none if the device has changed since it was selected, so that there is nothing to request.
async fn sync_one(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    device: &DeviceId,
    reason: Option<String>,
) -> Result<Option<u64>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, device);
    match app.command(caller, &envelope.item_named(device.as_str()), &key, request_sync(), reason).await {
        Ok(done) => Ok((!done.events.is_empty()).then_some(done.position.sequence)),
        Err(problem) if problem.status() == StatusCode::CONFLICT => Ok(None),
        Err(problem) => Err(problem),
    }
}

//! `POST /devices/{id}/commands`

use axum::extract::State;
use domain::Key;
use domain::device::{COMMAND_EXPIRY_DEFAULT_S, Device, DeviceCommand, DeviceEvent, WantedCommand};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::model::{DeviceCommandBody, location};
use crate::auth::Caller;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "collect_logs", "params": {"lines": 200}, "expires_in_s": 3600, "reason": "ticket 4711"}))]
pub(crate) struct DeviceCommandRequest {
    /// `reboot`, `report`, `collect_logs`, or one that the firmware knows: a lower-case letter, then lower-case letters, digits or `_`.
    #[schema(max_length = 32)]
    name: String,
    /// For the firmware, at most 4 KiB of JSON. No place for secrets or personal data: it is kept for ever, and viewers see it.
    #[serde(default)]
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// How long the device may take to accept it, in seconds: up to 7 days.
    #[serde(default = "default_expiry")]
    #[schema(minimum = 1, maximum = 604_800, default = 3_600)]
    expires_in_s: u32,
    reason: Option<String>,
}

fn default_expiry() -> u32 {
    COMMAND_EXPIRY_DEFAULT_S
}

/// Send a command to a device
///
/// The device runs it beside its updates; its number `n` says which it is. It is sent when the device is online and no other is under way: a device
/// has at most 8 commands that have not ended. While the tenant is frozen it waits.
#[utoipa::path(
    post, path = "/devices/{device_id}/commands", tag = "device commands", request_body = DeviceCommandRequest,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 200, description = "A dry run", body = WithPosition<DeviceCommandBody>),
        (status = 201, description = "Queued, or sent already", body = WithPosition<DeviceCommandBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "8 commands have not ended, the device is not reached over MQTT, or decommissioned", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send_device_command(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<DeviceCommandRequest>>,
) -> Result<Reply<DeviceCommandBody>, Problem> {
    let DeviceCommandRequest { name, params, expires_in_s, reason } = wanted;
    let wanted = WantedCommand { name, params, expires_in_s };
    let mut checks = Checks::default();
    for (field, reason) in wanted.violations() {
        checks.fail(field, reason);
    }
    checks.finish()?;
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let done = app.command(&caller, &envelope, &key, DeviceCommand::RequestCommand { wanted }, reason).await?;
    let n = queued(&done.events)?;
    // A repeated request may find that its command has ended and is forgotten.
    let body = match done.aggregate.commands.get(n) {
        Some(command) => DeviceCommandBody::of(&path.device_id, command),
        None => super::get::body(&app, &caller, &key, &path.device_id, n).await?,
    };
    let reply = done.reply(body);
    Ok(if done.dry_run { reply } else { reply.created(location(&path.device_id, n)) })
}

fn queued(events: &[DeviceEvent]) -> Result<u32, Problem> {
    let n = events.iter().find(|event| matches!(event, DeviceEvent::CommandQueued { .. }));
    n.and_then(DeviceEvent::remote_command).ok_or_else(|| Problem::internal("a command was sent and none was queued"))
}

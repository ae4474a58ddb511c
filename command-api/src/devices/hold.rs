//! `POST /devices/{id}/hold` and `/release`: exclude a device from updates for a while.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Key;
use domain::device::{Device, DeviceCommand};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::DeviceBody;
use crate::auth::Caller;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"until": "2099-12-31T00:00:00Z", "reason": "in the workshop"}))]
pub(crate) struct HoldRequest {
    /// Without it the hold lasts until the device is released.
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "looking at failures"}))]
pub(crate) struct ReasonRequest {
    pub(crate) reason: Option<String>,
}

/// Hold a device
///
/// A held device begins no update; an update under way continues.
#[utoipa::path(
    post, path = "/devices/{device_id}/hold", tag = "devices", request_body = HoldRequest,
    params(DevicePath, CommandHeaders), responses((status = 200, body = WithPosition<DeviceBody>))
)]
pub(crate) async fn hold_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<HoldRequest>>,
) -> Result<Reply<DeviceBody>, Problem> {
    let mut checks = Checks::default();
    checks.time("until", wanted.until);
    checks.finish()?;
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let command = DeviceCommand::Hold { until: wanted.until };
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    Ok(done.reply(DeviceBody::done(&path.device_id, &done)))
}

/// Release a held device
#[utoipa::path(
    post, path = "/devices/{device_id}/release", tag = "devices", request_body = ReasonRequest,
    params(DevicePath, CommandHeaders), responses((status = 200, body = WithPosition<DeviceBody>))
)]
pub(crate) async fn release_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<DeviceBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let done = app.command(&caller, &envelope, &key, DeviceCommand::Release, wanted.reason).await?;
    Ok(done.reply(DeviceBody::done(&path.device_id, &done)))
}

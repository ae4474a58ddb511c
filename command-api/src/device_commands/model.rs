//! A command of a device in replies, from the read model or from the aggregate.

use chrono::{DateTime, Utc};
use domain::device::{CommandData, CommandState, RemoteCommand};
use domain::{DeviceId, Sealed};
use projections::device_commands::DeviceCommandRow;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A command of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceCommandBody {
    #[schema(example = "d-1")]
    device_id: String,
    /// Counts the commands of the device, from 1; never used again.
    n: u32,
    #[schema(example = "reboot")]
    name: String,
    /// `queued`, `sent`, `accepted`, `done`, `failed`, `refused`, `expired` or `cancelled`.
    #[schema(example = "queued")]
    state: &'static str,
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// It expires then, unless the device has accepted it.
    expires_at: DateTime<Utc>,
    /// This time and the following: null in replies to commands.
    queued_at: Option<DateTime<Utc>>,
    sent_at: Option<DateTime<Utc>>,
    accepted_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// Why it failed or was refused: a code of the device protocol, or `x_…`. `x_timed_out`: accepted, and not ended within an hour.
    code: Option<String>,
    /// From the device.
    message: Option<String>,
    /// From the device, at most 4 KiB.
    #[schema(value_type = Option<Object>)]
    result: Option<Map<String, Value>>,
    /// Why it was cancelled, if nobody asked for it: `decommissioned`.
    reason: Option<String>,
    /// Another end that the device has reported after this one: `done`, `failed` or `refused`.
    late_status: Option<&'static str>,
    /// Who sent it. Null in replies to commands.
    created_by: Option<String>,
    /// Commands that would change it: `cancel`.
    allowed_commands: Vec<&'static str>,
}

fn plain(data: Option<&CommandData>) -> Option<Map<String, Value>> {
    data.and_then(Sealed::plain).cloned()
}

fn allowed(state: CommandState) -> Vec<&'static str> {
    if matches!(state, CommandState::Queued | CommandState::Sent) { vec!["cancel"] } else { vec![] }
}

impl DeviceCommandBody {
    /// After a command. `params` are those of the request: the aggregate drops them at the end.
    pub(super) fn of(device: &DeviceId, command: &RemoteCommand) -> Self {
        Self {
            device_id: device.to_string(),
            n: command.n,
            name: command.name.clone(),
            state: command.state.word(),
            params: plain(command.params.as_ref()).unwrap_or_default(),
            expires_at: command.expires_at,
            queued_at: None,
            sent_at: None,
            accepted_at: None,
            ended_at: None,
            code: None,
            message: None,
            result: None,
            reason: None,
            late_status: None,
            created_by: None,
            allowed_commands: allowed(command.state),
        }
    }
}

impl From<DeviceCommandRow> for DeviceCommandBody {
    fn from(row: DeviceCommandRow) -> Self {
        Self {
            device_id: row.device_id,
            n: row.n,
            name: row.name,
            state: row.state.word(),
            params: plain(row.params.as_ref()).unwrap_or_default(),
            expires_at: row.expires_at,
            queued_at: Some(row.queued_at),
            sent_at: row.sent_at,
            accepted_at: row.accepted_at,
            ended_at: row.ended_at,
            code: row.code,
            message: row.message,
            result: plain(row.result.as_ref()),
            reason: row.reason,
            late_status: row.late_status.map(|status| status.word()),
            created_by: Some(row.created_by),
            allowed_commands: allowed(row.state),
        }
    }
}

/// Path of a command.
pub(super) fn location(device: &DeviceId, n: u32) -> String {
    format!("/api/v1/devices/{device}/commands/{n}")
}

//! Public form of commands of devices. Parameters, results and messages are free text, so they are not public.

use domain::device::DeviceEvent as E;
use serde_json::{Value, json};

use super::data::{object, word};

/// The public part of an event of a command.
pub(super) fn public(event: &E) -> Value {
    let mut data = object(details(event));
    data["n"] = event.remote_command().into();
    data
}

fn details(event: &E) -> Value {
    match event {
        E::CommandQueued { name, expires_at, .. } => json!({ "name": name, "expires_at": expires_at }),
        E::CommandFailed { code, .. } | E::CommandRefused { code, .. } => json!({ "code": code }),
        E::CommandCancelled { reason, .. } => json!({ "reason": reason }),
        E::CommandReportedLate { status, .. } => json!({ "status": word(status) }),
        _ => json!({}),
    }
}

//! Payloads of devices: versioned wire types, separate from the domain's types.
//!
//! Unknown fields are ignored. A payload that can't be parsed or exceeds a limit is [`Malformed`] with the reason, and becomes a dead
//! letter. Each kind of message has a file that parses it and converts it to the domain's types.

mod bounds;
mod command;
mod info;
mod presence;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod update_log;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub use command::{CommandMessage, CommandName, Encryption, Kind, Signature};
pub use info::InfoMessage;
pub use presence::{Contact, PresenceMessage, PresenceWord};
pub use report::{CODE_UNKNOWN, Progress, StatusReport};
pub use run::{RESULT_MAX_BYTES, RunMessage, RunReport};
pub use update_log::{LOG_PIECE_MAX_BYTES, LogPiece};

/// Version of the protocol.
pub const PROTOCOL: u16 = 1;
/// Largest message on any topic but `telemetry` and `updates/{ordinal}/log`, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 8 * 1024;
/// Largest `telemetry` message, in bytes.
pub const MEASUREMENTS_MAX_BYTES: usize = 32 * 1024;

/// Why a message can't be parsed. The text says what is wrong and quotes only short values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// The message in a payload, if it is one JSON object within the bound.
fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Malformed> {
    within(payload, MESSAGE_MAX_BYTES)?;
    must_be_object(payload)?;
    serde_json::from_slice(payload).map_err(|error| Malformed::new(error.to_string()))
}

fn within(payload: &[u8], max_bytes: usize) -> Result<(), Malformed> {
    if payload.len() > max_bytes {
        return Err(Malformed::new(format!("{} bytes, at most {max_bytes} are accepted", payload.len())));
    }
    Ok(())
}

/// serde would accept an array as the fields in order.
fn must_be_object(payload: &[u8]) -> Result<(), Malformed> {
    match payload.trim_ascii_start().first() {
        Some(b'{') => Ok(()),
        _ => Err(Malformed::new("not a JSON object")),
    }
}

/// A message on `telemetry`.
#[derive(Debug)]
pub struct Measurements {
    /// The object, unchanged.
    pub data: Box<RawValue>,
    /// Time according to the device.
    pub device_time: Option<DateTime<Utc>>,
    /// Its ignored values, because they are invalid.
    pub ignored: Option<String>,
}

impl Measurements {
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Stamp {
            #[serde(default)]
            ts: Value,
        }
        within(payload, MEASUREMENTS_MAX_BYTES)?;
        must_be_object(payload)?;
        let data: Box<RawValue> = serde_json::from_slice(payload).map_err(|error| Malformed::new(error.to_string()))?;
        let stamp: Stamp = serde_json::from_str(data.get()).map_err(|error| Malformed::new(error.to_string()))?;
        let device_time = bounds::device_time(&stamp.ts);
        let ignored = bounds::ignored([("ts", &stamp.ts, device_time.is_some(), bounds::TIME)]);
        Ok(Self { data, device_time, ignored })
    }
}

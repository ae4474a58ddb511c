//! A command as an operator wants it, and its bounds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rejection::Rejection;

/// Longest name of a command, in bytes.
pub const COMMAND_NAME_MAX_BYTES: usize = 32;
/// Largest parameters of a command, in bytes of JSON.
pub const COMMAND_PARAMS_MAX_BYTES: usize = 4 * 1024;
/// Longest time in which a device may accept a command, in seconds.
pub const COMMAND_EXPIRY_MAX_S: u32 = 7 * 24 * 3_600;
/// The time if none is given, in seconds.
pub const COMMAND_EXPIRY_DEFAULT_S: u32 = 3_600;
/// Field of a sealed value: parameters that have it would be read as one.
const SEALED_FIELD: &str = "$sealed";

/// A command for a device to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WantedCommand {
    /// `reboot`, `report`, `collect_logs`, or one that the firmware knows.
    pub name: String,
    pub params: Map<String, Value>,
    /// From now on.
    pub expires_in_s: u32,
}

impl WantedCommand {
    /// The fields that are out of bounds, with the reason.
    pub fn violations(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if !is_command_name(&self.name) {
            let form = "a lower-case letter, then lower-case letters, digits or _";
            found.push(("name", format!("is not {form}, at most {COMMAND_NAME_MAX_BYTES} bytes")));
        }
        let bytes = serde_json::to_vec(&self.params).map_or(usize::MAX, |json| json.len());
        if bytes > COMMAND_PARAMS_MAX_BYTES {
            found.push(("params", format!("has {bytes} bytes, at most {COMMAND_PARAMS_MAX_BYTES} are allowed")));
        }
        if self.params.contains_key(SEALED_FIELD) {
            found.push(("params", format!("{SEALED_FIELD} is reserved")));
        }
        if !(1..=COMMAND_EXPIRY_MAX_S).contains(&self.expires_in_s) {
            found.push(("expires_in_s", format!("is not from 1 to {COMMAND_EXPIRY_MAX_S}")));
        }
        found
    }

    pub(in crate::device) fn check(&self) -> Result<(), Rejection> {
        match self.violations().into_iter().next() {
            Some((field, reason)) => Err(Rejection::Invalid { field: field.to_owned(), reason }),
            None => Ok(()),
        }
    }
}

fn is_command_name(name: &str) -> bool {
    let others = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.len() <= COMMAND_NAME_MAX_BYTES
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(others)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(name: &str, params: &Value, expires_in_s: u32) -> WantedCommand {
        WantedCommand { name: name.to_owned(), params: params.as_object().unwrap().clone(), expires_in_s }
    }

    #[test]
    fn a_command_out_of_its_bounds_names_the_field() {
        assert_eq!(wanted("collect_logs", &json!({"lines": 100}), 60).violations(), []);
        let fields = |wanted: WantedCommand| wanted.violations().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        for name in ["", "Reboot", "1st", "a b", "réboot", "_x", &"x".repeat(33)] {
            assert_eq!(fields(wanted(name, &json!({}), 60)), ["name"], "{name}");
        }
        let large = json!({"text": "x".repeat(COMMAND_PARAMS_MAX_BYTES)});
        assert_eq!(fields(wanted("report", &large, 60)), ["params"]);
        assert_eq!(fields(wanted("report", &json!({"$sealed": "x"}), 60)), ["params"]);
        for seconds in [0, COMMAND_EXPIRY_MAX_S + 1] {
            assert_eq!(fields(wanted("report", &json!({}), seconds)), ["expires_in_s"]);
        }
    }
}

//! Commands that a device runs beside its updates, as a firmware reads and answers them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::wire::PROTOCOL;

/// A message on the `run` topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Run {
    /// Empty: there is nothing to run.
    Nothing,
    Command(RunCommand),
    Garbage,
}

/// A command to run, once.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunCommand {
    pub n: u64,
    pub name: String,
    #[serde(default)]
    pub params: Map<String, Value>,
}

impl Run {
    /// Parses a payload; never fails.
    pub fn parse(payload: &[u8]) -> Self {
        if payload.is_empty() {
            return Self::Nothing;
        }
        let Ok(value) = serde_json::from_slice::<Value>(payload) else { return Self::Garbage };
        if value["v"].as_u64() != Some(PROTOCOL) {
            return Self::Garbage;
        }
        serde_json::from_value(value).map_or(Self::Garbage, Self::Command)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Accepted,
    Done,
    Refused,
}

/// `run/{n}/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    pub status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

/// The command that was run last, in flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    pub n: u64,
    pub report: RunReport,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_and_unknown_fields_are_ignored() {
        let text = br#"{"v":1,"n":3,"name":"reboot","params":{},"expires_in_s":60,"expires_at":"t","new":[]}"#;
        let wanted = RunCommand { n: 3, name: "reboot".to_owned(), params: Map::new() };
        assert_eq!(Run::parse(text), Run::Command(wanted));
        assert_eq!(Run::parse(b""), Run::Nothing);
        for garbage in [&b"[]"[..], b"{}", br#"{"v":2,"n":3,"name":"reboot"}"#, b"\xff"] {
            assert_eq!(Run::parse(garbage), Run::Garbage);
        }
    }
}

//! Messages on the wire, as a firmware reads and writes them.
//!
//! Unknown fields are ignored. A command that can't be parsed, but names its update, is [`Command::Unsupported`]: the device can answer it.
//! Any other is [`Command::Garbage`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The only protocol version that this firmware supports.
pub(super) const PROTOCOL: u64 = 1;
/// The component of a command that names none.
pub(super) const FIRMWARE: &str = "firmware";
/// Bytes of the largest command that this device accepts, as in its `info`.
const MAX_PAYLOAD_BYTES: u32 = 1_024;

/// The update of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Target {
    pub seq: u64,
    pub ordinal: u64,
    pub attempt: u32,
}

/// `ota_update`: what to install, and where to download it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UpdateCommand {
    #[serde(flatten)]
    pub target: Target,
    #[serde(default)]
    pub kind: Option<String>,
    #[serde(default = "firmware")]
    pub component: String,
    pub firmware_id: String,
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// 64 hex digits.
    pub sha256: String,
    pub url: String,
    #[serde(default = "yes")]
    pub activate: bool,
    /// For how many seconds from the question on it may be installed; none if at any time.
    #[serde(default)]
    pub install_within_s: Option<u64>,
    /// With 0 in an answer: the maintenance window opens then.
    #[serde(default)]
    pub opens_in_s: Option<u64>,
}

/// `activate`: run what is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ActivateCommand {
    #[serde(flatten)]
    pub target: Target,
    /// For how many seconds from the question on it may be activated; none if at any time.
    #[serde(default)]
    pub install_within_s: Option<u64>,
    /// With 0 in an answer: the maintenance window opens then.
    #[serde(default)]
    pub opens_in_s: Option<u64>,
}

fn firmware() -> String {
    FIRMWARE.to_owned()
}

fn yes() -> bool {
    true
}

/// A message on the `commands` topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Empty, or `none`: there is nothing to do.
    Nothing,
    Update(Box<UpdateCommand>),
    Activate(ActivateCommand),
    Cancel(Target),
    Unsupported(Target),
    Garbage,
}

impl Command {
    /// Parses a payload; never fails.
    pub fn parse(payload: &[u8]) -> Self {
        if payload.is_empty() {
            return Self::Nothing;
        }
        let Ok(value) = serde_json::from_slice::<Value>(payload) else { return Self::Garbage };
        let known = value["v"].as_u64() == Some(PROTOCOL);
        let name = value["command"].as_str().unwrap_or_default().to_owned();
        if known && name == "none" {
            return Self::Nothing;
        }
        let Ok(target) = Target::deserialize(&value) else { return Self::Garbage };
        match name.as_str() {
            "ota_update" if known => match serde_json::from_value::<UpdateCommand>(value) {
                Ok(update) => Self::Update(Box::new(update)),
                Err(_) => Self::Unsupported(target),
            },
            "activate" if known => match ActivateCommand::deserialize(&value) {
                Ok(activate) => Self::Activate(activate),
                Err(_) => Self::Unsupported(target),
            },
            "cancel" if known => Self::Cancel(target),
            _ => Self::Unsupported(target),
        }
    }
}

/// The statuses that a device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    Received,
    Deferred,
    Downloading,
    Verifying,
    Installing,
    Staged,
    Rebooting,
    Completed,
    Failed,
    Rejected,
    Cancelled,
    CancelRefused,
}

/// `updates/{ordinal}/status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub attempt: u32,
    pub status: ReportStatus,
    /// Per cent of the download.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// RFC 3339; absent if the device has no clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
}

impl Report {
    pub(super) fn new(attempt: u32, status: ReportStatus) -> Self {
        Self {
            attempt,
            status,
            progress: None,
            version: None,
            sha256: None,
            bytes: None,
            code: None,
            message: None,
            retry_after_s: None,
            ts: None,
        }
    }
}

/// The last status of the last update; repeated at every connect, in case a report was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastUpdate {
    pub ordinal: u64,
    pub attempt: u32,
    pub status: ReportStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Of the verified image, also after later statuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// `status` of a connected device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Presence {
    pub status: &'static str,
    pub session: String,
    pub boot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<String>,
    /// Sent in place of `firmware_version` by a device with several components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<BTreeMap<String, String>>,
    pub trial: bool,
    pub slot: &'static str,
    pub battery_level: u8,
    pub signal_strength: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update: Option<LastUpdate>,
}

/// The last will: `status` of a device whose connection broke.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Absence<'a> {
    pub(super) status: &'static str,
    pub(super) session: &'a str,
    pub(super) boot_id: &'a str,
}

/// `info`: description of the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    pub protocol: u64,
    pub versions: BTreeMap<String, String>,
    pub hardware_version: String,
    pub slots: u8,
    pub transports: Vec<&'static str>,
    pub max_payload: u32,
    pub redirects: bool,
    pub signature_schemes: Vec<String>,
    pub contact_interval_s: u64,
    pub attributes: BTreeMap<String, String>,
}

impl Info {
    pub(super) fn new(versions: BTreeMap<String, String>, hardware_version: String) -> Self {
        Self {
            protocol: PROTOCOL,
            versions,
            hardware_version,
            slots: 2,
            transports: vec!["http"],
            max_payload: MAX_PAYLOAD_BYTES,
            redirects: true,
            signature_schemes: Vec::new(),
            contact_interval_s: 0,
            attributes: BTreeMap::from([("simulated".to_owned(), "true".to_owned())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = r#"{"v":1,"command":"ota_update","seq":42,"update_id":"d~1","ordinal":17,"attempt":1,"kind":"update",
        "component":"firmware","firmware_id":"f","version":"2.1.0","size":10,"sha256":"00","url":"http://h/d/t","signatures":[],
        "activate":true,"time":"t","expires_at":"t","expires_in_s":1,"new_field":{}}"#;

    #[test]
    fn an_update_is_read_and_unknown_fields_are_ignored() {
        let Command::Update(update) = Command::parse(UPDATE.as_bytes()) else { panic!("not an update") };
        assert_eq!(update.target, Target { seq: 42, ordinal: 17, attempt: 1 });
        assert_eq!(update.url, "http://h/d/t");
    }

    #[test]
    fn empty_and_none_are_nothing_to_do() {
        assert_eq!(Command::parse(b""), Command::Nothing);
        assert_eq!(Command::parse(br#"{"v":1,"command":"none","time":"t"}"#), Command::Nothing);
    }

    #[test]
    fn another_protocol_or_command_is_unsupported_and_the_rest_is_garbage() {
        let target = Target { seq: 1, ordinal: 2, attempt: 3 };
        for payload in [
            r#"{"v":2,"command":"ota_update","seq":1,"ordinal":2,"attempt":3}"#,
            r#"{"v":1,"command":"dance","seq":1,"ordinal":2,"attempt":3}"#,
            r#"{"v":1,"command":"ota_update","seq":1,"ordinal":2,"attempt":3,"size":"big"}"#,
        ] {
            assert_eq!(Command::parse(payload.as_bytes()), Command::Unsupported(target), "{payload}");
        }
        for payload in [&b"\xff\xfe"[..], b"[]", b"{}", b"null"] {
            assert_eq!(Command::parse(payload), Command::Garbage);
        }
    }
}

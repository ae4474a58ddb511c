//! `commands`: commands to devices. Written here, read by firmware.

use chrono::{DateTime, Utc};
use domain::firmware::{FirmwareSignature, ImageEncryption};
use serde::Serialize;

use super::PROTOCOL;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandName {
    OtaUpdate,
    Activate,
    Cancel,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Update,
    Rollback,
}

/// A signature over the firmware's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    pub scheme: String,
    pub key: String,
    pub sig: String,
}

impl From<&FirmwareSignature> for Signature {
    fn from(signature: &FirmwareSignature) -> Self {
        Self {
            scheme: signature.scheme.word().to_owned(),
            key: signature.key.short_id(),
            sig: signature.signature.clone(),
        }
    }
}

/// How the firmware is encrypted for its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Encryption {
    pub scheme: String,
    pub key_id: String,
}

impl From<&ImageEncryption> for Encryption {
    fn from(ImageEncryption { scheme, key_id }: &ImageEncryption) -> Self {
        Self { scheme: scheme.clone(), key_id: key_id.clone() }
    }
}

/// A command as sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CommandMessage {
    Install {
        v: u16,
        command: CommandName,
        seq: u64,
        update_id: String,
        ordinal: u32,
        attempt: u16,
        kind: Kind,
        component: String,
        firmware_id: String,
        version: String,
        /// Bytes.
        size: u64,
        sha256: String,
        url: String,
        signatures: Vec<Signature>,
        /// How the bytes are encrypted; absent if they aren't.
        #[serde(skip_serializing_if = "Option::is_none")]
        encryption: Option<Box<Encryption>>,
        activate: bool,
        /// The device must report the SHA-256 of what it received.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        report_digest: bool,
        time: DateTime<Utc>,
        expires_at: DateTime<Utc>,
        expires_in_s: i64,
        /// For how many seconds from its question on the device may begin to install; absent if at any time.
        #[serde(skip_serializing_if = "Option::is_none")]
        install_within_s: Option<u32>,
        /// With 0 in an answer: when to ask again.
        #[serde(skip_serializing_if = "Option::is_none")]
        opens_in_s: Option<u32>,
    },
    /// `cancel` or `activate` of an update that the device knows.
    Order {
        v: u16,
        command: CommandName,
        seq: u64,
        update_id: String,
        ordinal: u32,
        attempt: u16,
        /// As in an install: for how many seconds from its question on the device may begin to activate.
        #[serde(skip_serializing_if = "Option::is_none")]
        install_within_s: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        opens_in_s: Option<u32>,
    },
    None {
        v: u16,
        command: CommandName,
        time: DateTime<Utc>,
    },
}

impl CommandMessage {
    /// The answer to a device that asks while there is nothing to do.
    pub fn none(time: DateTime<Utc>) -> Self {
        Self::None { v: PROTOCOL, command: CommandName::None, time }
    }
}

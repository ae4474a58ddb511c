//! `status`: presence and proof. The last will has this form too.

use std::collections::BTreeMap;

use domain::device::{Presence, Report};
use domain::ids::ORDINAL_MAX;
use domain::values::Sha256Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::{code_and_message, status_of};
use super::{Malformed, bounds, read};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceWord {
    Online,
    Offline,
}

/// A device's `status` as sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PresenceMessage {
    pub status: PresenceWord,
    #[serde(default)]
    pub session: Value,
    #[serde(default)]
    pub boot_id: Value,
    #[serde(default)]
    pub firmware_version: Option<String>,
    #[serde(default)]
    pub versions: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub trial: Value,
    #[serde(default)]
    pub slot: Value,
    /// Per cent.
    #[serde(default)]
    pub battery_level: Value,
    /// dBm.
    #[serde(default)]
    pub signal_strength: Value,
    #[serde(default)]
    pub external_power: Value,
    /// An object. If it is invalid, the rest of the message still counts.
    #[serde(default)]
    pub last_update: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct LastUpdate {
    ordinal: u32,
    attempt: u16,
    status: String,
    #[serde(default)]
    code: Option<String>,
    /// An invalid one counts as absent.
    #[serde(default)]
    sha256: Value,
}

/// The part of a message that goes to telemetry as contact.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Contact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<PresenceWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_level: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_strength: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_power: Option<bool>,
    /// Creation time of the broker's store, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_ms: Option<u64>,
    /// The broker's number for the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<u64>,
}

impl PresenceMessage {
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        read(payload)
    }

    pub fn to_presence(&self) -> Result<Presence, Malformed> {
        Ok(Presence {
            session: bounds::mark("session", &self.session)?,
            boot_id: bounds::mark("boot_id", &self.boot_id)?,
            versions: bounds::versions(self.versions.clone().unwrap_or_default(), self.firmware_version.clone())?,
            trial: bounds::is_yes(&self.trial),
            slot: bounds::mark("slot", &self.slot)?,
            last_update: last_update(&self.last_update),
        })
    }

    /// Ignored values of the message, with the valid form.
    pub fn ignored(&self) -> Option<String> {
        bounds::ignored([
            ("trial", &self.trial, bounds::is_flag(&self.trial), "true or false; it counts as false"),
            ("battery_level", &self.battery_level, self.battery().is_some(), "a number from 0 to 100"),
            ("signal_strength", &self.signal_strength, self.signal().is_some(), "a number from -200 to 50"),
            ("external_power", &self.external_power, self.external_power.is_boolean(), "true or false"),
            (
                "last_update",
                &self.last_update,
                last_update(&self.last_update).is_some(),
                "an object with ordinal, attempt and status",
            ),
        ])
    }

    fn battery(&self) -> Option<i16> {
        bounds::reading(&self.battery_level, 0, 100)
    }

    fn signal(&self) -> Option<i16> {
        bounds::reading(&self.signal_strength, -200, 50)
    }

    pub fn to_contact(&self) -> Result<Contact, Malformed> {
        Ok(Contact {
            status: Some(self.status),
            session: bounds::mark("session", &self.session)?,
            boot_id: bounds::mark("boot_id", &self.boot_id)?,
            battery_level: self.battery(),
            signal_strength: self.signal(),
            external_power: self.external_power.as_bool(),
            ..Contact::default()
        })
    }
}

impl Contact {
    /// The contact with the broker's number of the message.
    pub fn numbered(self, broker_ms: u64, delivery: u64) -> Self {
        Self { broker_ms: Some(broker_ms), delivery: Some(delivery), ..self }
    }
}

fn last_update(value: &Value) -> Option<Report> {
    let last = LastUpdate::deserialize(value).ok()?;
    let (code, message) = code_and_message(last.code, None);
    (1..=ORDINAL_MAX).contains(&last.ordinal).then_some(Report {
        ordinal: last.ordinal,
        attempt: last.attempt,
        status: status_of(&last.status).ok()?,
        sha256: bounds::text(&last.sha256).and_then(|text| Sha256Digest::from_hex(&text)),
        code,
        message: bounds::message(message),
        retry_after_s: None,
    })
}

//! The RegistrationToken aggregate: devices register themselves with the token, as many as it allows, as long as it lasts.
//!
//! Only the hash of the token is known here. A device counts once, however often it comes. What a device gets with the token is the
//! device's own aggregate: [`crate::device::SelfRegistration`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::campaign::Violation;
use crate::decider::Decider;
use crate::ids::{DEVICE_ID_MAX_BYTES, DeviceId, RegistrationTokenId};
use crate::rejection::Rejection;
use crate::token_hash::TokenHash;

/// How many devices a token may allow.
pub const DEVICES_MAX_RANGE: RangeInclusive<u32> = 1..=100_000;
/// Longest life of a token, in days.
pub const LIFE_MAX_DAYS: i64 = 366;
/// Life of a token without an end of its own, in days.
pub const LIFE_DEFAULT_DAYS: i64 = 30;

/// Which devices may register with a token, and the tags that they get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistrationScope {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Beginning of the device's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
    /// Tags of the devices that are registered with the token.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationTerms {
    #[serde(default)]
    pub scope: RegistrationScope,
    pub expires_at: DateTime<Utc>,
    /// Most devices that may use it.
    pub devices_max: u32,
}

impl RegistrationTerms {
    /// All violations at the time of issue, in the order of the fields.
    pub fn violations(&self, now: DateTime<Utc>) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add = |field: &str, reason: String| found.push((field.to_owned(), reason));
        // The beginning of an id obeys the rule of ids.
        if self.scope.id_prefix.as_ref().is_some_and(|prefix| DeviceId::new(prefix.as_str()).is_err()) {
            add("id_prefix", format!("the beginning of a device id, 1 to {DEVICE_ID_MAX_BYTES} characters"));
        }
        if self.expires_at <= now {
            add("expires_at", "is over".to_owned());
        } else if self.expires_at > now + TimeDelta::days(LIFE_MAX_DAYS) {
            add("expires_at", format!("at most {LIFE_MAX_DAYS} days ahead"));
        }
        if !DEVICES_MAX_RANGE.contains(&self.devices_max) {
            add("devices_max", format!("{} to {}", DEVICES_MAX_RANGE.start(), DEVICES_MAX_RANGE.end()));
        }
        found
    }
}

/// A device that wants to register, as far as the scope of a token asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applicant {
    pub device: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
}

impl RegistrationScope {
    /// The first field in which the device is out of scope.
    fn misfit(&self, applicant: &Applicant) -> Option<&'static str> {
        let differs = |wanted: &Option<String>, given: &Option<String>| wanted.is_some() && wanted != given;
        let prefix = self.id_prefix.as_deref().unwrap_or_default();
        if differs(&self.device_model, &applicant.device_model) {
            Some("device_model")
        } else if differs(&self.device_type, &applicant.device_type) {
            Some("device_type")
        } else if !applicant.device.as_str().starts_with(prefix) {
            Some("id_prefix")
        } else {
            None
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum RegistrationTokenEvent {
    #[serde(rename = "registration_token.issued")]
    Issued {
        /// Never shown: see [`crate::events::hidden_fields`].
        hash: TokenHash,
        #[serde(default)]
        scope: RegistrationScope,
        expires_at: DateTime<Utc>,
        devices_max: u32,
    },
    /// A device that had not used the token registers with it.
    #[serde(rename = "registration_token.used")]
    Used { device: DeviceId },
    #[serde(rename = "registration_token.revoked")]
    Revoked {},
}

crate::event_types!(RegistrationTokenEvent {
    Issued => "registration_token.issued" v 1,
    Used => "registration_token.used" v 1,
    Revoked => "registration_token.revoked" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum RegistrationTokenCommand {
    Issue { hash: TokenHash, terms: RegistrationTerms },
    Use { applicant: Applicant },
    Revoke,
}

/// What a token can still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RegistrationTokenStatus {
    Active,
    Revoked,
    Expired,
    /// Only devices that have used it may use it again.
    UsedUp,
}

impl RegistrationTokenStatus {
    /// Of a token with this end. The first reason why it admits no further device counts.
    pub fn of(revoked: bool, expires_at: DateTime<Utc>, is_used_up: bool, now: DateTime<Utc>) -> Self {
        if revoked {
            Self::Revoked
        } else if now >= expires_at {
            Self::Expired
        } else if is_used_up {
            Self::UsedUp
        } else {
            Self::Active
        }
    }
}

/// State of a registration token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegistrationToken {
    issued: Option<(TokenHash, RegistrationTerms)>,
    /// Devices that have used it.
    pub devices: BTreeSet<DeviceId>,
    revoked: bool,
}

crate::aggregate!(RegistrationToken, "registration_token", RegistrationTokenCommand, RegistrationTokenEvent);

impl RegistrationToken {
    pub fn apply(&mut self, event: &RegistrationTokenEvent) {
        match event {
            RegistrationTokenEvent::Issued { hash, scope, expires_at, devices_max } => {
                let (expires_at, devices_max) = (*expires_at, *devices_max);
                let terms = RegistrationTerms { scope: scope.clone(), expires_at, devices_max };
                self.issued = Some((*hash, terms));
            }
            RegistrationTokenEvent::Used { device } => drop(self.devices.insert(device.clone())),
            RegistrationTokenEvent::Revoked {} => self.revoked = true,
        }
    }

    /// Whether the token of this hash was issued as this one. It may have expired or been revoked since.
    pub fn is_of(&self, hash: &TokenHash) -> bool {
        self.issued.as_ref().is_some_and(|(issued, _)| issued == hash)
    }

    /// What it allows; none if it was never issued.
    pub fn terms(&self) -> Option<&RegistrationTerms> {
        self.issued.as_ref().map(|(_, terms)| terms)
    }

    pub fn status(&self, now: DateTime<Utc>) -> RegistrationTokenStatus {
        // Only an issued token can be revoked.
        let Some(terms) = self.terms() else { return RegistrationTokenStatus::Active };
        let is_used_up = self.devices.len() >= terms.devices_max as usize;
        RegistrationTokenStatus::of(self.revoked, terms.expires_at, is_used_up, now)
    }

    /// Refuses a device that may not register with it now.
    pub fn admits(&self, now: DateTime<Utc>, applicant: &Applicant) -> Result<(), Rejection> {
        use RegistrationTokenStatus as S;
        let terms = self.terms().ok_or(Rejection::RegistrationTokenUnknown)?;
        match self.status(now) {
            S::Revoked => return Err(Rejection::RegistrationTokenRevoked),
            S::Expired => return Err(Rejection::RegistrationTokenExpired { expires_at: terms.expires_at }),
            S::UsedUp if !self.devices.contains(&applicant.device) => {
                return Err(Rejection::RegistrationTokenUsedUp { devices_max: terms.devices_max });
            }
            S::UsedUp | S::Active => {}
        }
        match terms.scope.misfit(applicant) {
            Some(field) => Err(Rejection::RegistrationOutOfScope { field: field.to_owned() }),
            None => Ok(()),
        }
    }

    fn issue(
        &self,
        now: DateTime<Utc>,
        hash: TokenHash,
        terms: &RegistrationTerms,
    ) -> Result<Vec<RegistrationTokenEvent>, Rejection> {
        if self.issued.is_some() {
            return Err(Rejection::RegistrationTokenExists);
        }
        if let Some((field, reason)) = terms.violations(now).into_iter().next() {
            return Err(Rejection::Invalid { field, reason });
        }
        let RegistrationTerms { scope, expires_at, devices_max } = terms.clone();
        Ok(vec![RegistrationTokenEvent::Issued { hash, scope, expires_at, devices_max }])
    }
}

impl Decider for RegistrationToken {
    type Command = RegistrationTokenCommand;
    type Id = RegistrationTokenId;

    fn wants_reason(command: &RegistrationTokenCommand) -> bool {
        matches!(command, RegistrationTokenCommand::Revoke)
    }

    fn decide(
        &self,
        now: DateTime<Utc>,
        command: &RegistrationTokenCommand,
    ) -> Result<Vec<RegistrationTokenEvent>, Rejection> {
        use RegistrationTokenCommand as C;
        match (&self.issued, command) {
            (_, C::Issue { hash, terms }) => self.issue(now, *hash, terms),
            (None, C::Use { .. } | C::Revoke) => Err(Rejection::RegistrationTokenUnknown),
            (Some(_), C::Use { applicant }) => {
                self.admits(now, applicant)?;
                let device = applicant.device.clone();
                let is_new = !self.devices.contains(&device);
                Ok(is_new.then_some(RegistrationTokenEvent::Used { device }).into_iter().collect())
            }
            (Some(_), C::Revoke) if self.revoked => Ok(vec![]),
            (Some(_), C::Revoke) => Ok(vec![RegistrationTokenEvent::Revoked {}]),
        }
    }

    fn exists(&self) -> bool {
        self.issued.is_some()
    }
}

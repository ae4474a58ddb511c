//! A device's credentials. With the token of a live one it logs in; the device knows only the hashes of the tokens.
//!
//! A device has at most [`CREDENTIALS_LIVE_MAX`] live credentials, so that a token can be replaced without a gap. Decommissioning ends them
//! all.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::profile::Profile;
use super::{Device, DeviceEvent, Lifecycle};
use crate::ids::{Actor, CredentialId, RegistrationTokenId};
use crate::rejection::Rejection;
use crate::token_hash::TokenHash;
use crate::values::{YEARS, is_usable_time};

/// Most credentials of a device that are neither revoked nor expired.
pub const CREDENTIALS_LIVE_MAX: usize = 2;
/// Ended credentials whose ids are remembered, the latest.
pub const ENDED_CREDENTIALS_KEPT_MAX: usize = 16;

/// A credential to issue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewCredential {
    pub credential_id: CredentialId,
    pub hash: TokenHash,
    /// Without it the credential lasts until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    pub by: Actor,
}

/// A device that registers itself with a registration token and gets a credential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfRegistration {
    pub registration_token: RegistrationTokenId,
    /// Of a device that is unknown. A known device keeps its own.
    pub profile: Profile,
    pub versions: BTreeMap<String, String>,
    pub credential: NewCredential,
}

/// A credential that was issued and not revoked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    pub id: CredentialId,
    pub hash: TokenHash,
    pub issued_at: DateTime<Utc>,
    pub by: Actor,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Credential {
    /// Whether it has not expired.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// The credentials of a device, as its events left them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Credentials {
    /// Not revoked, the oldest first; some may have expired. At most [`CREDENTIALS_LIVE_MAX`].
    current: Vec<Credential>,
    ended: VecDeque<CredentialId>,
    /// The registration token that gave the latest credential; none if an operator issued it.
    registration_token: Option<RegistrationTokenId>,
}

impl Credentials {
    /// Credentials that are not revoked, the oldest first; some may have expired.
    pub fn current(&self) -> &[Credential] {
        &self.current
    }

    fn has_issued(&self, wanted: &NewCredential) -> bool {
        self.current.iter().any(|known| known.id == wanted.credential_id && known.hash == wanted.hash)
    }

    fn live(&self, now: DateTime<Utc>) -> Vec<&Credential> {
        self.current.iter().filter(|credential| credential.is_live(now)).collect()
    }

    pub(super) fn apply_issued(&mut self, credential: Credential, registration_token: Option<RegistrationTokenId>) {
        self.registration_token = registration_token;
        while self.current.len() >= CREDENTIALS_LIVE_MAX {
            // Only an expired one can be in the way, and no other ends earlier.
            let end = |credential: &&Credential| credential.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
            let Some(earliest) = self.current.iter().min_by_key(end).map(|credential| credential.id) else { break };
            self.apply_ended(earliest);
        }
        self.current.push(credential);
    }

    pub(super) fn apply_ended(&mut self, id: CredentialId) {
        self.current.retain(|credential| credential.id != id);
        self.ended.push_back(id);
        if self.ended.len() > ENDED_CREDENTIALS_KEPT_MAX {
            self.ended.pop_front();
        }
    }

    /// The device is out of service. When it comes back, it has none.
    pub(super) fn apply_decommissioned(&mut self) {
        self.registration_token = None;
        for id in self.current.iter().map(|credential| credential.id).collect::<Vec<_>>() {
            self.apply_ended(id);
        }
    }
}

impl NewCredential {
    fn issued(&self, now: DateTime<Utc>, registration_token: Option<RegistrationTokenId>) -> DeviceEvent {
        DeviceEvent::CredentialIssued {
            credential_id: self.credential_id,
            hash: self.hash,
            issued_at: now,
            by: self.by.clone(),
            expires_at: self.expires_at,
            registration_token,
        }
    }

    fn check(&self, now: DateTime<Utc>) -> Result<(), Rejection> {
        let reason = match self.expires_at {
            Some(end) if !is_usable_time(end) => format!("a year from {} to {}", YEARS.start(), YEARS.end()),
            Some(end) if end <= now => "is over".to_owned(),
            Some(_) | None => return Ok(()),
        };
        Err(Rejection::Invalid { field: "expires_at".to_owned(), reason })
    }
}

impl Device {
    /// The live credential whose token has this hash. None if the device is not in service.
    pub fn credential(&self, hash: &TokenHash, now: DateTime<Utc>) -> Option<&Credential> {
        // Every hash is compared, so the time does not say which one fits.
        let all = self.credentials.current.iter();
        let fitting =
            all.fold(None, |found, credential| if credential.hash == *hash { Some(credential) } else { found });
        fitting.filter(|credential| self.lifecycle == Lifecycle::Active && credential.is_live(now))
    }

    pub(super) fn issue_credential(
        &self,
        now: DateTime<Utc>,
        wanted: &NewCredential,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        if self.credentials.has_issued(wanted) {
            return Ok(vec![]);
        }
        wanted.check(now)?;
        let live = self.credentials.live(now);
        if live.len() >= CREDENTIALS_LIVE_MAX {
            let credentials = live.iter().map(|credential| credential.id).collect();
            return Err(Rejection::TooManyCredentials { credentials });
        }
        Ok(vec![wanted.issued(now, None)])
    }

    pub(super) fn revoke_credential(&self, id: CredentialId) -> Result<Vec<DeviceEvent>, Rejection> {
        let credentials = &self.credentials;
        if credentials.current.iter().any(|credential| credential.id == id) {
            return Ok(vec![DeviceEvent::CredentialRevoked { credential_id: id }]);
        }
        if credentials.ended.contains(&id) { Ok(vec![]) } else { Err(Rejection::CredentialUnknown) }
    }

    /// An unknown device is registered. A known one gets a credential if it has no live one, or if its latest came with the
    /// same token: then it may have lost them, and of two live ones the older one is replaced.
    pub(super) fn self_register(
        &self,
        now: DateTime<Utc>,
        wanted: &SelfRegistration,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let SelfRegistration { registration_token: token, profile, versions, credential } = wanted;
        if self.lifecycle == Lifecycle::Active && self.credentials.has_issued(credential) {
            return Ok(vec![]);
        }
        credential.check(now)?;
        let issued = credential.issued(now, Some(*token));
        let before = match self.lifecycle {
            Lifecycle::Absent => self.register(profile, versions)?,
            Lifecycle::Decommissioned => return Err(Rejection::DeviceDecommissioned),
            Lifecycle::Active => self.replaced_by(now, *token)?,
        };
        Ok(before.into_iter().chain([issued]).collect())
    }

    /// The revocation that makes room for a credential by a registration token, if room is needed.
    fn replaced_by(&self, now: DateTime<Utc>, token: RegistrationTokenId) -> Result<Vec<DeviceEvent>, Rejection> {
        let live = self.credentials.live(now);
        if !live.is_empty() && self.credentials.registration_token != Some(token) {
            return Err(Rejection::DeviceHasCredentials);
        }
        let oldest = live.first().filter(|_| live.len() >= CREDENTIALS_LIVE_MAX);
        Ok(oldest.map(|oldest| DeviceEvent::CredentialRevoked { credential_id: oldest.id }).into_iter().collect())
    }
}

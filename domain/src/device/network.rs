//! The copy of a device in the LoRaWAN network server of its tenant: what it should be, what is known of it, and what went wrong.
//!
//! A device with an EUI and an application should have a copy; [`NetworkTarget::fingerprint`] stands for what that copy should be made from.
//! A reconciler compares, writes over there, and reports with the fingerprint that it believed, so late and repeated reports are harmless.
//!
//! Invariants: what Waybill didn't create over there is never left over for removal; no key is in here, only references; [`Network::state`]
//! follows from events alone, so read models fold the same type.

mod decide;
pub(super) mod keys;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::events::DeviceEvent as E;
use super::profile::Profile;
use super::{Device, Lifecycle};

pub use decide::{NetworkCommand, NetworkDrift};
pub use keys::{DEVICE_SECRET_PREFIX, LorawanKey, LorawanKeys};

/// EUIs that wait for the removal of their copy, the latest.
pub const LEFTOVERS_MAX: usize = 8;
/// Longest code of a failed synchronisation, in bytes.
pub const NETWORK_CODE_MAX_BYTES: usize = 32;
/// Longest reason of a failed synchronisation, in characters.
pub const NETWORK_REASON_MAX_CHARS: usize = 256;
/// Most names of fields that were edited over there.
pub const EDITED_MAX: usize = 16;
/// Code of a copy that is not Waybill's and was removed over there.
pub const CODE_REMOVED_THERE: &str = "removed_there";
/// Hex digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// How the copy of a device stands.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SyncState {
    /// It should have none, and none has to be removed.
    #[default]
    NotApplicable,
    /// To be written or removed.
    Pending,
    Synced,
    /// The network server has refused for good. Another change, another connection or a request tries again.
    Failed,
}

/// What the copy of a device is made from. All of it is in the device's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkIdentity<'a> {
    pub dev_eui: &'a str,
    pub application_id: &'a str,
    pub join_eui: Option<&'a str>,
    /// None: the one that the tenant's connection names.
    pub device_profile_id: Option<&'a str>,
    /// None: the device's id.
    pub name: Option<&'a str>,
}

impl<'a> NetworkIdentity<'a> {
    /// None unless the device has an EUI and an application.
    pub fn of(profile: &'a Profile) -> Option<Self> {
        Some(Self {
            dev_eui: profile.lorawan_dev_eui.as_deref()?,
            application_id: profile.chirpstack_app_id.as_deref()?,
            join_eui: profile.join_eui.as_deref(),
            device_profile_id: profile.device_profile_id.as_deref(),
            name: profile.name.as_ref().and_then(|name| name.plain()).map(String::as_str),
        })
    }

    /// Each part is preceded by its length, so that two identities never give the same bytes.
    fn fingerprint(&self, keys_revision: u32, generation: u32) -> String {
        let mut hash = Sha256::new();
        for part in [Some(self.dev_eui), Some(self.application_id), self.join_eui, self.device_profile_id, self.name] {
            let bytes = part.unwrap_or_default();
            hash.update([u8::from(part.is_some())]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        hash.update(keys_revision.to_be_bytes());
        hash.update(generation.to_be_bytes());
        let mut digits = hex::encode(hash.finalize());
        digits.truncate(FINGERPRINT_DIGITS);
        digits
    }
}

/// What the copy should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTarget {
    pub dev_eui: String,
    /// Stands for everything that the copy is made from.
    pub fingerprint: String,
}

/// The copy under the target's EUI, as it was written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCopy {
    /// Of what it was made from.
    pub fingerprint: String,
    /// Waybill has created it; otherwise it was there before.
    pub created: bool,
    /// It is disabled over there.
    pub is_disabled: bool,
    /// As it was written: the device's own, or the one that the connection named.
    pub device_profile_id: String,
    /// Fields that differ over there, of a copy that Waybill hasn't created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<String>,
}

/// Why the network server refuses for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFailure {
    /// The fingerprint that could not be written, or the EUI whose copy could not be removed.
    pub of: String,
    pub code: String,
    pub reason: String,
    /// Revision of the tenant's connection. Another one is worth another try. None: only a request or a change is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
}

/// What is known of a device's copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<NetworkTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<NetworkCopy>,
    /// EUIs that the device has no more, under which a copy may be that Waybill has created. At most [`LEFTOVERS_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<NetworkFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<LorawanKeys>,
    /// How often keys were set or removed.
    pub keys_revision: u32,
    /// How often the copy had to be written again without a change of the device.
    pub generation: u32,
}

impl Network {
    /// Applies an event. `identity`: what the device's copy is made from after it; none for a device out of service.
    pub fn after(before: Option<Box<Self>>, event: &E, identity: Option<NetworkIdentity<'_>>) -> Option<Box<Self>> {
        if !event.concerns_network() || (before.is_none() && identity.is_none() && !event.is_of_network()) {
            return before;
        }
        let mut network = before.unwrap_or_default();
        network.apply(event);
        network.retarget(identity);
        (*network != Self::default()).then_some(network)
    }

    /// *Pending* exactly when there is something to write or to remove that has not been refused.
    pub fn state(&self) -> SyncState {
        let Some(target) = &self.target else {
            return match (self.leftovers.is_empty(), &self.failure) {
                (true, _) => SyncState::NotApplicable,
                (false, Some(_)) => SyncState::Failed,
                (false, None) => SyncState::Pending,
            };
        };
        let is_written = self.copy.as_ref().is_some_and(|copy| copy.fingerprint == target.fingerprint);
        match self.failure {
            Some(_) => SyncState::Failed,
            None if is_written && self.leftovers.is_empty() => SyncState::Synced,
            None => SyncState::Pending,
        }
    }

    fn apply(&mut self, event: &E) {
        match event {
            E::Decommissioned {} => self.keys = None,
            E::NetworkSyncRequested {} => {
                self.failure = None;
                self.generation += 1;
            }
            E::NetworkSynced { dev_eui, fingerprint, created, is_disabled, device_profile_id } => {
                if self.is_targeted(dev_eui) {
                    self.failure = self.failure.take().filter(|failure| self.leftovers.contains(&failure.of));
                    self.copy = Some(NetworkCopy {
                        fingerprint: fingerprint.clone(),
                        created: *created,
                        is_disabled: *is_disabled,
                        device_profile_id: device_profile_id.clone(),
                        edited: Vec::new(),
                    });
                } else if *created {
                    self.leave_over(dev_eui);
                }
            }
            E::NetworkSyncFailed { of, code, reason, connection } => {
                let (of, code, reason) = (of.clone(), code.clone(), reason.clone());
                self.failure = Some(NetworkFailure { of, code, reason, connection: *connection });
            }
            E::NetworkRemoved { dev_eui, found } => self.apply_removed(dev_eui, *found),
            E::NetworkChanged { is_disabled, edited } => self.apply_changed(*is_disabled, edited.as_deref()),
            E::LorawanKeysSet { keys, secret } => {
                self.keys = Some(LorawanKeys { which: keys.clone(), secret: secret.clone() });
                self.keys_revision += 1;
            }
            E::LorawanKeysRemoved {} => {
                self.keys = None;
                self.keys_revision += 1;
            }
            _ => {}
        }
    }

    fn apply_removed(&mut self, dev_eui: &str, found: bool) {
        self.leftovers.retain(|leftover| leftover != dev_eui);
        self.failure = self.failure.take().filter(|failure| failure.of != dev_eui);
        if !self.is_targeted(dev_eui) {
            return;
        }
        let was_others = self.copy.take().is_some_and(|copy| !copy.created);
        if let Some(target) = self.target.as_ref().filter(|_| found && was_others) {
            self.failure = Some(NetworkFailure {
                of: target.fingerprint.clone(),
                code: CODE_REMOVED_THERE.to_owned(),
                reason: "the device was removed in the network server, and Waybill had not created it there".to_owned(),
                connection: None,
            });
        }
    }

    fn apply_changed(&mut self, is_disabled: Option<bool>, edited: Option<&[String]>) {
        let Some(copy) = &mut self.copy else { return };
        copy.is_disabled = is_disabled.unwrap_or(copy.is_disabled);
        match edited {
            Some(edited) if copy.created => self.generation += u32::from(!edited.is_empty()),
            Some(edited) => copy.edited = edited.to_vec(),
            None => {}
        }
    }

    /// Sets the target. What may be over there under the former EUI has to go, unless it was there before Waybill.
    fn retarget(&mut self, identity: Option<NetworkIdentity<'_>>) {
        let next = identity.map(|identity| NetworkTarget {
            dev_eui: identity.dev_eui.to_owned(),
            fingerprint: identity.fingerprint(self.keys_revision, self.generation),
        });
        let former = std::mem::replace(&mut self.target, next);
        if self.target != former {
            self.failure = None;
        }
        if let Some(NetworkTarget { dev_eui: former, .. }) = former.filter(|former| !self.is_targeted(&former.dev_eui))
        {
            let was_others = self.copy.take().is_some_and(|copy| !copy.created);
            if !was_others {
                self.leave_over(&former);
            }
        }
        if let Some(target) = &self.target {
            self.leftovers.retain(|leftover| *leftover != target.dev_eui);
        }
    }

    fn is_targeted(&self, dev_eui: &str) -> bool {
        self.target.as_ref().is_some_and(|target| target.dev_eui == dev_eui)
    }

    fn leave_over(&mut self, dev_eui: &str) {
        self.leftovers.retain(|leftover| leftover != dev_eui);
        self.leftovers.push(dev_eui.to_owned());
        if self.leftovers.len() > LEFTOVERS_MAX {
            self.leftovers.remove(0);
        }
    }
}

impl E {
    /// Whether the event may change what is known of the copy.
    fn concerns_network(&self) -> bool {
        let is_of_profile = matches!(
            self,
            Self::Registered { .. } | Self::Recommissioned { .. } | Self::Amended { .. } | Self::Decommissioned {}
        );
        is_of_profile || self.is_of_network()
    }

    fn is_of_network(&self) -> bool {
        matches!(
            self,
            Self::NetworkSyncRequested {}
                | Self::NetworkSynced { .. }
                | Self::NetworkSyncFailed { .. }
                | Self::NetworkRemoved { .. }
                | Self::NetworkChanged { .. }
                | Self::LorawanKeysSet { .. }
                | Self::LorawanKeysRemoved {}
        )
    }
}

impl Device {
    /// What is known of its copy; none for most devices.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_deref()
    }

    pub fn sync_state(&self) -> SyncState {
        self.network().map_or(SyncState::default(), Network::state)
    }

    /// What its copy should be made from.
    pub fn network_identity(&self) -> Option<NetworkIdentity<'_>> {
        NetworkIdentity::of(&self.profile).filter(|_| self.lifecycle == Lifecycle::Active)
    }

    pub(super) fn apply_network(&mut self, event: &E) {
        let before = self.network.take();
        self.network = Network::after(before, event, self.network_identity());
    }
}

//! Commands about the copy of a device: of operators, and of the reconciler that says what it found and did over there.

use serde::{Deserialize, Serialize};

use super::{EDITED_MAX, LorawanKey, NETWORK_CODE_MAX_BYTES, NETWORK_REASON_MAX_CHARS, Network, SyncState};
use crate::device::events::DeviceEvent as E;
use crate::device::{Device, Lifecycle};
use crate::rejection::Rejection;
use crate::secret_ref::SecretRef;

/// What a look over there has found of a synced copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum NetworkDrift {
    /// It isn't there.
    Removed,
    /// It is there. `edited`: names of the fields that differ from what was written; none if all are as written.
    Seen { is_disabled: bool, edited: Vec<String> },
}

/// A command about the copy of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "snake_case")]
pub enum NetworkCommand {
    /// Of an operator: write the copy again, or try again what has failed.
    RequestSync,
    /// The copy was written.
    RecordSynced {
        dev_eui: String,
        /// What the sender believed to be the target when it wrote.
        fingerprint: String,
        created: bool,
        is_disabled: bool,
        device_profile_id: String,
    },
    /// The network server refuses for good.
    RecordFailed {
        /// The fingerprint that could not be written, or the EUI whose copy could not be removed.
        of: String,
        code: String,
        reason: String,
        connection: Option<u64>,
    },
    /// There is no copy of Waybill's any more under an EUI that is left over.
    RecordRemoved {
        dev_eui: String,
    },
    RecordDrift {
        /// Of the copy, as the sender knew it.
        fingerprint: String,
        drift: NetworkDrift,
    },
    /// The values are in the secret already.
    SetKeys {
        keys: Vec<LorawanKey>,
        secret: SecretRef,
    },
    RemoveKeys,
}

impl Device {
    pub(in crate::device) fn decide_network(&self, command: &NetworkCommand) -> Result<Vec<E>, Rejection> {
        use NetworkCommand as C;
        let unknown = Network::default();
        let network = self.network().unwrap_or(&unknown);
        let is_active = self.lifecycle == Lifecycle::Active;
        match command {
            C::RequestSync => match network.state() {
                SyncState::NotApplicable if !is_active => Err(Rejection::DeviceDecommissioned),
                SyncState::NotApplicable => Err(Rejection::NetworkNotApplicable),
                SyncState::Pending => Ok(vec![]),
                SyncState::Synced | SyncState::Failed => Ok(vec![E::NetworkSyncRequested {}]),
            },
            C::RecordSynced { dev_eui, fingerprint, created, is_disabled, device_profile_id } => {
                let event = E::NetworkSynced {
                    dev_eui: dev_eui.clone(),
                    fingerprint: fingerprint.clone(),
                    created: *created,
                    is_disabled: *is_disabled,
                    device_profile_id: device_profile_id.clone(),
                };
                Ok(network.is_news_of_sync(&event).then_some(event).into_iter().collect())
            }
            C::RecordFailed { of, code, reason, connection } => {
                Ok(network.failed(of, code, reason, *connection).into_iter().collect())
            }
            C::RecordRemoved { dev_eui } => {
                let is_left_over = network.leftovers.contains(dev_eui);
                let event = E::NetworkRemoved { dev_eui: dev_eui.clone(), found: false };
                Ok(is_left_over.then_some(event).into_iter().collect())
            }
            C::RecordDrift { fingerprint, drift } => Ok(network.drifted(fingerprint, drift).into_iter().collect()),
            C::SetKeys { .. } | C::RemoveKeys if !is_active => Err(Rejection::DeviceDecommissioned),
            C::SetKeys { keys, .. } if keys.is_empty() => {
                Err(Rejection::Invalid { field: "keys".to_owned(), reason: "at least one key".to_owned() })
            }
            C::SetKeys { keys, secret } => {
                let (mut keys, secret) = (keys.clone(), secret.clone());
                keys.sort_unstable();
                keys.dedup();
                Ok(vec![E::LorawanKeysSet { keys, secret }])
            }
            C::RemoveKeys if network.keys.is_none() => Ok(vec![]),
            C::RemoveKeys => Ok(vec![E::LorawanKeysRemoved {}]),
        }
    }
}

impl Network {
    /// Whether a report of a written copy says anything new. One that was made from an older state of the device doesn't, unless it has
    /// left a copy under an EUI that the device has no more.
    fn is_news_of_sync(&self, event: &E) -> bool {
        let E::NetworkSynced { dev_eui, fingerprint, created, .. } = event else { return false };
        let target = self.target.as_ref();
        if target.is_some_and(|target| target.fingerprint == *fingerprint && target.dev_eui == *dev_eui) {
            let mut next = self.clone();
            next.apply(event);
            return next != *self;
        }
        *created && !self.is_targeted(dev_eui) && !self.leftovers.contains(dev_eui)
    }

    fn failed(&self, of: &String, code: &str, reason: &str, connection: Option<u64>) -> Option<E> {
        let target = self.target.as_ref().filter(|target| target.fingerprint == *of);
        let is_written = self.copy.as_ref().is_some_and(|copy| copy.fingerprint == *of);
        if (target.is_none() || is_written) && !self.leftovers.contains(of) {
            return None;
        }
        let event = E::NetworkSyncFailed {
            of: of.clone(),
            code: shortened(code, NETWORK_CODE_MAX_BYTES),
            reason: shortened(reason, NETWORK_REASON_MAX_CHARS),
            connection,
        };
        let mut next = self.clone();
        next.apply(&event);
        (next != *self).then_some(event)
    }

    fn drifted(&self, fingerprint: &str, drift: &NetworkDrift) -> Option<E> {
        let target = self.target.as_ref()?;
        // What has been written again since, or is about to be, is not compared.
        let copy = self.copy.as_ref().filter(|copy| copy.fingerprint == fingerprint)?;
        if target.fingerprint != fingerprint {
            return None;
        }
        match drift {
            NetworkDrift::Removed => Some(E::NetworkRemoved { dev_eui: target.dev_eui.clone(), found: true }),
            NetworkDrift::Seen { is_disabled, edited } => {
                let mut edited = edited.clone();
                edited.truncate(EDITED_MAX);
                let is_disabled = Some(*is_disabled).filter(|now| *now != copy.is_disabled);
                let edited = Some(edited).filter(|edited| *edited != copy.edited);
                (is_disabled.is_some() || edited.is_some()).then_some(E::NetworkChanged { is_disabled, edited })
            }
        }
    }
}

/// At most `max` characters, without control characters: the text comes from elsewhere.
fn shortened(text: &str, max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect()
}

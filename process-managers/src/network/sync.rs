//! Brings the copy of one device in step: removes what is left over, creates or updates the copy, writes the join keys.
//!
//! Every step can be repeated: a crash after any of them, or a second process at the same device, ends in the same state.

use chirpstack::grpc::Error;
use chirpstack::grpc::device::StoredDevice;
use chirpstack::grpc::device_keys::DeviceKeys;
use domain::device::{Device, Network, NetworkCommand, NetworkIdentity, NetworkTarget};
use domain::{DeviceId, Key, TenantId};
use event_store::secrets::SecretError;
use event_store::{EventStore, SecretStore};
use serde::Deserialize;

use super::copy::{self, Owner};
use super::server::{Server, ServerError, plain};

/// What one device needs.
pub(super) struct Parts<'a> {
    pub(super) server: &'a Server,
    pub(super) store: &'a EventStore,
    pub(super) secrets: &'a SecretStore,
    pub(super) tenant: &'a TenantId,
    pub(super) device: &'a DeviceId,
}

/// What was not done: of which fingerprint or EUI, and why.
pub(super) struct NotDone {
    pub(super) of: String,
    pub(super) error: ServerError,
}

/// The copy as it is after a write.
struct Written {
    created: bool,
    is_disabled: bool,
    device_profile_id: String,
}

/// Join keys as they are kept.
#[derive(Deserialize)]
struct KeptKeys {
    nwk_key: String,
    #[serde(default)]
    app_key: String,
    #[serde(default)]
    gen_app_key: String,
}

impl Parts<'_> {
    /// Does what the device asks for. Reports of the steps that are done are added to `reports`.
    pub(super) async fn sync(
        &self,
        network: &Network,
        identity: Option<NetworkIdentity<'_>>,
        reports: &mut Vec<NetworkCommand>,
    ) -> Result<(), NotDone> {
        for dev_eui in &network.leftovers {
            self.remove(dev_eui).await.map_err(|error| NotDone { of: dev_eui.clone(), error })?;
            reports.push(NetworkCommand::RecordRemoved { dev_eui: dev_eui.clone() });
        }
        let (Some(NetworkTarget { dev_eui, fingerprint }), Some(identity)) = (&network.target, identity) else {
            return Ok(());
        };
        let not_done = |error| NotDone { of: fingerprint.clone(), error };
        let written = self.write(network, &identity).await.map_err(not_done)?;
        self.write_keys(network, dev_eui).await.map_err(not_done)?;
        let Written { created, is_disabled, device_profile_id } = written;
        let (dev_eui, fingerprint) = (dev_eui.clone(), fingerprint.clone());
        reports.push(NetworkCommand::RecordSynced { dev_eui, fingerprint, created, is_disabled, device_profile_id });
        Ok(())
    }

    /// Removes a copy that this device has left over. What somebody else has over there under this EUI stays.
    async fn remove(&self, dev_eui: &str) -> Result<(), ServerError> {
        match self.server.find(dev_eui).await? {
            Some(found) if copy::owner(&found.device, self.device) == (Owner::Ours { created: true }) => {
                self.server.delete(dev_eui).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn write(&self, network: &Network, identity: &NetworkIdentity<'_>) -> Result<Written, ServerError> {
        if network.copy.is_some()
            && let Some(found) = self.server.find(identity.dev_eui).await?
        {
            return self.update(found, identity).await;
        }
        match self.create(identity).await? {
            Some(written) => Ok(written),
            // Of an earlier try whose answer was lost, of another process, or of somebody else.
            None => match self.server.find(identity.dev_eui).await? {
                Some(found) => self.update(found, identity).await,
                None => {
                    let reason = "the EUI exists in ChirpStack under another tenant";
                    Err(ServerError::refused("eui_taken", reason))
                }
            },
        }
    }

    /// None if the EUI exists already.
    async fn create(&self, identity: &NetworkIdentity<'_>) -> Result<Option<Written>, ServerError> {
        let default = self.server.default_device_profile_id.as_deref();
        let Some(profile) = identity.device_profile_id.or(default) else {
            // The device may exist over there, with a profile.
            return match self.server.find(identity.dev_eui).await? {
                Some(_) => Ok(None),
                None => {
                    let reason = "the device names no device profile, and the tenant's connection no default";
                    Err(ServerError::refused("device_profile_missing", reason))
                }
            };
        };
        let wanted = copy::new(self.device, identity, profile);
        match self.server.client.create_device(&wanted).await {
            Ok(()) => {
                let device_profile_id = wanted.device_profile_id;
                Ok(Some(Written { created: true, is_disabled: false, device_profile_id }))
            }
            Err(Error::Duplicate { .. }) => Ok(None),
            Err(error) => Err(self.server.why_not_written(error, identity.application_id, profile).await),
        }
    }

    async fn update(&self, found: StoredDevice, identity: &NetworkIdentity<'_>) -> Result<Written, ServerError> {
        let created = match copy::owner(&found.device, self.device) {
            Owner::Ours { created } => created,
            Owner::Nobody if found.device.application_id == copy::canonical(identity.application_id) => false,
            Owner::Nobody => {
                let reason = format!(
                    "the EUI exists in ChirpStack in application {}, and Waybill has not created it there",
                    found.device.application_id
                );
                return Err(ServerError::refused("eui_taken", reason));
            }
            Owner::Other { device, created } => {
                if !self.has_let_go(&device, identity.dev_eui).await? {
                    let reason = format!("the EUI belongs to device {device} in ChirpStack");
                    return Err(ServerError::refused("eui_taken", reason));
                }
                created
            }
        };
        let default = self.server.default_device_profile_id.as_deref();
        let next = copy::updated(&found.device, self.device, identity, created, default);
        let (is_disabled, device_profile_id) = (next.is_disabled, next.device_profile_id.clone());
        if next != found.device {
            let stored = StoredDevice { device: next, ..found };
            if let Err(error) = self.server.client.update_device(&stored).await {
                return Err(match error {
                    // It was deleted in between; the next try creates it.
                    Error::NotFound { .. } => ServerError::Broken(error.to_string()),
                    other => self.server.why_not_written(other, identity.application_id, &device_profile_id).await,
                });
            }
        }
        Ok(Written { created, is_disabled, device_profile_id })
    }

    /// Whether another device of this tenant had the EUI, and has it no more.
    async fn has_let_go(&self, other: &str, dev_eui: &str) -> Result<bool, ServerError> {
        let Ok(other) = DeviceId::new(other) else { return Ok(false) };
        let loaded = self.store.load_fresh(&Key::<Device>::new(self.tenant, &other)).await;
        let loaded = loaded.map_err(|error| ServerError::Broken(error.to_string()))?;
        let target = loaded.aggregate.network().and_then(|network| network.target.as_ref());
        Ok(loaded.version > 0 && target.is_none_or(|target| target.dev_eui != dev_eui))
    }

    async fn write_keys(&self, network: &Network, dev_eui: &str) -> Result<(), ServerError> {
        let client = &self.server.client;
        let Some(keys) = &network.keys else {
            if network.keys_revision == 0 {
                return Ok(());
            }
            return match client.delete_keys(dev_eui).await {
                Ok(()) => Ok(()),
                Err(error) => self.server.confirm_unknown(error).await,
            };
        };
        let value = match self.secrets.read(self.tenant, &keys.secret).await {
            Ok(value) => value,
            Err(error @ (SecretError::Missing(_) | SecretError::NotOpened { .. })) => {
                return Err(ServerError::refused("keys_unreadable", error.to_string()));
            }
            Err(error) => return Err(ServerError::Broken(error.to_string())),
        };
        let kept: KeptKeys = serde_json::from_slice(value.reveal())
            .map_err(|_| ServerError::refused("keys_unreadable", "the kept join keys can't be read"))?;
        let keys = || DeviceKeys {
            dev_eui: dev_eui.to_owned(),
            nwk_key: kept.nwk_key.clone(),
            app_key: kept.app_key.clone(),
            gen_app_key: kept.gen_app_key.clone(),
        };
        match client.create_keys(keys()).await {
            Ok(()) => Ok(()),
            Err(Error::Duplicate { .. }) => client.update_keys(keys()).await.map_err(plain),
            Err(error) => Err(plain(error)),
        }
    }
}

//! A tenant's ChirpStack, with its odd answers told apart.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chirpstack::grpc::application::ListApplicationsRequest;
use chirpstack::grpc::device::StoredDevice;
use chirpstack::grpc::{ApiKey, Client, ClientIdentity, Connection, Error};
use domain::TenantId;
use domain::tenant::ChirpStackConnection;
use event_store::SecretStore;
use runtime::outward::Outward;
use tokio::time::Instant;

use super::copy;

/// How long it is believed that the key works.
const KEY_KNOWN_FOR: Duration = Duration::from_secs(5);

/// Why something could not be done over there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServerError {
    /// It doesn't answer: all devices of the tenant wait.
    #[error("{0}")]
    Away(String),
    /// It broke at this device.
    #[error("{0}")]
    Broken(String),
    /// It refuses for good.
    #[error("{reason}")]
    Refused { code: &'static str, reason: String },
    /// The key is not taken.
    #[error("ChirpStack does not take the API key")]
    KeyRefused,
}

impl ServerError {
    pub(crate) fn refused(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused { code, reason: reason.into() }
    }
}

pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) chirpstack_tenant_id: String,
    pub(crate) default_device_profile_id: Option<String>,
    key_worked_at: Mutex<Option<Instant>>,
}

impl Server {
    /// The client of a tenant's connection. The keys are read each time.
    pub(crate) async fn of(
        tenant: &TenantId,
        connection: &ChirpStackConnection,
        secrets: &SecretStore,
        outward: &Outward,
    ) -> Result<Self, ServerError> {
        let key = secrets.read(tenant, &connection.api_key).await;
        let key = key.map_err(|error| ServerError::Away(error.to_string()))?;
        let client_key = secrets.read_named(tenant, connection.client_key.as_ref()).await;
        let client_key = client_key.map_err(|error| ServerError::Away(error.to_string()))?;
        let client_key = client_key.as_ref().and_then(|key| key.reveal_text());
        let identity = connection.client_certificate.as_deref().zip(client_key);
        let unusable = |error: chirpstack::grpc::InvalidConnection| ServerError::Away(error.to_string());
        let api_key = ApiKey::new(key.reveal_text().unwrap_or_default()).map_err(unusable)?;
        let connection_of_client = Connection {
            extra_ca_pem: connection.ca.clone(),
            identity: identity.map(|(certificate, key)| ClientIdentity::new(certificate, key)),
            ..Connection::new(&connection.url, api_key, outward.clone())
        };
        Ok(Self {
            client: Client::new(&connection_of_client).map_err(unusable)?,
            chirpstack_tenant_id: connection.chirpstack_tenant_id.clone(),
            default_device_profile_id: connection.default_device_profile_id.clone(),
            key_worked_at: Mutex::new(None),
        })
    }

    /// The device with this EUI. None if the tenant over there has none.
    pub(crate) async fn find(&self, dev_eui: &str) -> Result<Option<StoredDevice>, ServerError> {
        match self.client.get_device(dev_eui).await {
            Ok(found) => Ok(Some(found)),
            Err(error) => self.confirm_unknown(error).await.map(|()| None),
        }
    }

    /// Deletes a device; it is no error that there is none.
    pub(crate) async fn delete(&self, dev_eui: &str) -> Result<(), ServerError> {
        match self.client.delete_device(dev_eui).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(Error::Unauthenticated { .. }) => {
                // Somebody was faster, or the key may only read.
                match self.find(dev_eui).await? {
                    None => Ok(()),
                    Some(_) => Err(ServerError::refused("key_may_not_write", "the API key may not delete the device")),
                }
            }
            Err(error) => Err(plain(error)),
        }
    }

    /// Ok if an error means that there is no such object over there; else what it means. An unknown object and a refused key get the same
    /// answer.
    pub(crate) async fn confirm_unknown(&self, error: Error) -> Result<(), ServerError> {
        match error {
            Error::NotFound { .. } => Ok(()),
            Error::Unauthenticated { .. } => self.key_works().await,
            error => Err(plain(error)),
        }
    }

    /// Whether the key is taken, asked by something that the tenant over there always has.
    async fn key_works(&self) -> Result<(), ServerError> {
        let known = *self.key_worked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|at| at.elapsed() < KEY_KNOWN_FOR) {
            return Ok(());
        }
        let tenant_id = self.chirpstack_tenant_id.clone();
        let request = ListApplicationsRequest { tenant_id, ..ListApplicationsRequest::default() };
        match self.client.list_applications(request).await {
            Ok(_) => {
                *self.key_worked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Ok(())
            }
            Err(Error::Unauthenticated { .. }) => Err(ServerError::KeyRefused),
            Err(error) => Err(plain(error)),
        }
    }

    /// What it means that ChirpStack doesn't let the key write a device, or misses something that the device names.
    pub(crate) async fn why_not_written(
        &self,
        error: Error,
        application_id: &str,
        device_profile_id: &str,
    ) -> ServerError {
        let is_about_others = matches!(error, Error::NotFound { .. } | Error::Unauthenticated { .. });
        let is_about_ids = matches!(error, Error::Refused { .. } | Error::Internal { .. });
        if !is_about_others && !is_about_ids {
            return plain(error);
        }
        if is_about_others && let Err(error) = self.key_works().await {
            return error;
        }
        let tenant = copy::canonical(&self.chirpstack_tenant_id);
        match self.client.get_application(application_id).await {
            Ok(application) if application.tenant_id == tenant => {}
            Err(other) if !is_refused(&other) => return plain(other),
            Ok(_) | Err(_) => {
                let reason = format!("ChirpStack has no application {application_id} in this tenant");
                return ServerError::refused("application_unknown", reason);
            }
        }
        match self.client.get_device_profile(device_profile_id).await {
            Ok(_) => {}
            Err(other) if !is_refused(&other) => return plain(other),
            Err(_) => {
                let reason = format!("ChirpStack has no device profile {device_profile_id} in this tenant");
                return ServerError::refused("device_profile_unknown", reason);
            }
        }
        match error {
            Error::Unauthenticated { .. } => {
                ServerError::refused("key_may_not_write", "the API key may not write this device")
            }
            other => plain(other),
        }
    }
}

/// Whether ChirpStack says that it has no such object, or not for this key, or that the id can't be one.
fn is_refused(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. } | Error::Unauthenticated { .. } | Error::Refused { .. } | Error::Malformed { .. }
    )
}

/// An error that needs no further question.
pub(super) fn plain(error: Error) -> ServerError {
    let text = error.to_string();
    match error {
        Error::Unavailable { .. } | Error::DeadlineExceeded => ServerError::Away(text),
        Error::Internal { .. } => ServerError::Broken(text),
        Error::NotChirpstack { .. } => ServerError::refused("not_chirpstack", text),
        Error::Duplicate { .. } => ServerError::refused("duplicate", text),
        Error::Unauthenticated { .. } => ServerError::KeyRefused,
        Error::NotFound { .. } | Error::Malformed { .. } | Error::Refused { .. } => {
            ServerError::refused("invalid", text)
        }
    }
}

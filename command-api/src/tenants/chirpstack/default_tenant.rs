//! The connection of the default tenant from the configuration of the process, when it has none.

use std::time::Duration;

use domain::tenant::{ChirpStackConnection, ChirpStackMqtt, Tenant, TenantCommand};
use domain::{Actor, CommandId, Key, SecretRef, TenantId};
use event_store::{EventStore, ExecuteError, ExpectedVersion, Request, SecretStore};
use trust::SecretValue;

use super::client_certificate;
use super::secrets::Keeping;
use crate::http::Problem;

/// Pause before another try.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// The tenant of installations that have one.
const DEFAULT_TENANT: &str = "default";

/// Where the ChirpStack of the default tenant is.
#[derive(Debug, Clone)]
pub struct ChirpStackSettings {
    pub url: String,
    pub chirpstack_tenant_id: String,
    pub api_key: SecretValue,
    /// Certificates of its authority (PEM).
    pub ca: Option<String>,
    /// What is shown to it.
    pub identity: Option<ClientIdentitySettings>,
    /// The broker of its MQTT integration.
    pub mqtt: Option<BrokerSettings>,
}

/// A client certificate and its private key (PEM).
#[derive(Debug, Clone)]
pub struct ClientIdentitySettings {
    pub certificate: String,
    pub key: SecretValue,
}

/// The broker of the MQTT integration of the default tenant's ChirpStack.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    pub url: String,
    pub username: Option<String>,
    pub password: Option<SecretValue>,
    /// Certificates of its authority (PEM).
    pub ca: Option<String>,
    /// What is shown to it.
    pub identity: Option<ClientIdentitySettings>,
}

/// Gives the default tenant its connection if it has none, as soon as the tenant exists and the log and the secrets can be reached.
pub async fn fill_default_tenant(settings: ChirpStackSettings, store: EventStore, secrets: SecretStore) {
    loop {
        match filled(&settings, &store, &secrets).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "The default tenant could not be connected to its ChirpStack yet."),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// False if there is no such tenant yet, or if it was changed meanwhile: then another try is needed.
async fn filled(settings: &ChirpStackSettings, store: &EventStore, secrets: &SecretStore) -> Result<bool, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let tenant = TenantId::new(DEFAULT_TENANT).map_err(|error| text(&error))?;
    let key = Key::<Tenant>::new(&tenant, &tenant);
    let loaded = store.load_fresh(&key).await.map_err(|error| text(&error))?;
    if loaded.version == 0 {
        return Ok(false);
    }
    // A connection that was removed on purpose stays removed.
    if loaded.aggregate.chirpstack_revision() > 0 {
        return Ok(true);
    }
    // The same each time, so that a further try keeps no further secret.
    let id = CommandId::derive(&["chirpstack of the configuration", DEFAULT_TENANT]);
    let mut keeping = Keeping::new(secrets, &tenant, id.0);
    let connection = connection(settings, &mut keeping).await.map_err(|error| error.detail().to_owned())?;
    if let Err((field, reason)) = checked(settings, &connection) {
        tracing::error!(field, reason, "The ChirpStack of the configuration can't be used.");
        return Ok(true);
    }
    keeping.keep().await.map_err(|error| error.detail().to_owned())?;
    let command = TenantCommand::ConnectChirpStack { connection: Box::new(connection) };
    let actor = Actor::new("configuration").map_err(|error| text(&error))?;
    // A connection that an operator has made meanwhile stays.
    let expected_version = Some(ExpectedVersion::OneOf(vec![loaded.version]));
    match store.execute(&key, Request { expected_version, ..Request::new(id, actor, command) }).await {
        Err(ExecuteError::VersionDiffers { .. } | ExecuteError::Conflict) => Ok(false),
        Ok(_) => {
            tracing::info!(tenant.id = %tenant, "The default tenant is connected to the ChirpStack of the configuration.");
            Ok(true)
        }
        Err(ExecuteError::Rejected(rejection)) => {
            tracing::warn!(tenant.id = %tenant, %rejection, "The default tenant is not connected to the ChirpStack of the configuration.");
            Ok(true)
        }
        Err(error) => Err(text(&error)),
    }
}

/// The connection of the configuration. Its secrets are noted in `keeping`, and not kept yet.
async fn connection(settings: &ChirpStackSettings, keeping: &mut Keeping<'_>) -> Result<ChirpStackConnection, Problem> {
    let api_key = keeping.set("api-key", None, settings.api_key.clone()).await?;
    let (client_certificate, client_key) = identity(settings.identity.as_ref(), "client-key", keeping).await?;
    let mqtt = match &settings.mqtt {
        None => None,
        Some(BrokerSettings { url, username, password, ca, identity: shown }) => {
            let password = match password {
                Some(password) => Some(keeping.set("mqtt", None, password.clone()).await?),
                None => None,
            };
            let (client_certificate, client_key) = identity(shown.as_ref(), "mqtt-client-key", keeping).await?;
            let (url, username, ca) = (url.clone(), username.clone(), ca.clone());
            Some(ChirpStackMqtt { url, username, password, ca, client_certificate, client_key, event_topic: None })
        }
    };
    Ok(ChirpStackConnection {
        url: settings.url.clone(),
        chirpstack_tenant_id: settings.chirpstack_tenant_id.clone(),
        api_key,
        ca: settings.ca.clone(),
        client_certificate,
        client_key,
        default_device_profile_id: None,
        webhook_secret: None,
        second_webhook_secret: None,
        webhook_header: None,
        auto_import: vec![],
        mqtt,
    })
}

async fn identity(
    shown: Option<&ClientIdentitySettings>,
    purpose: &str,
    keeping: &mut Keeping<'_>,
) -> Result<(Option<String>, Option<SecretRef>), Problem> {
    let Some(ClientIdentitySettings { certificate, key }) = shown else { return Ok((None, None)) };
    Ok((Some(certificate.clone()), Some(keeping.set(purpose, None, key.clone()).await?)))
}

/// The first field that is wrong, and why.
fn checked(settings: &ChirpStackSettings, connection: &ChirpStackConnection) -> Result<(), (String, String)> {
    if let Some(violation) = connection.violations().into_iter().next() {
        return Err(violation);
    }
    let of_broker = settings.mqtt.as_ref().and_then(|mqtt| mqtt.identity.as_ref());
    for (field, shown) in [("client_certificate", settings.identity.as_ref()), ("mqtt.client_certificate", of_broker)] {
        let fits = shown.map_or(Ok(()), |shown| client_certificate::fits(&shown.certificate, &shown.key));
        fits.map_err(|reason| (field.to_owned(), reason.to_owned()))?;
    }
    Ok(())
}

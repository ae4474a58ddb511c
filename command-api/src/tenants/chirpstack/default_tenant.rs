//! The connection of the default tenant from the configuration of the process, when it has none.

use std::time::Duration;

use domain::tenant::{ChirpStackConnection, Tenant, TenantCommand};
use domain::{Actor, CommandId, Key, TenantId};
use event_store::{EventStore, ExecuteError, ExpectedVersion, Request, SecretStore};
use trust::SecretValue;

use super::secrets::Keeping;

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
    let api_key =
        keeping.set("api-key", None, settings.api_key.clone()).await.map_err(|error| error.detail().to_owned())?;
    let connection = ChirpStackConnection {
        url: settings.url.clone(),
        chirpstack_tenant_id: settings.chirpstack_tenant_id.clone(),
        api_key,
        ca: None,
        default_device_profile_id: None,
        webhook_secret: None,
        second_webhook_secret: None,
        webhook_header: None,
        auto_import: vec![],
        mqtt: None,
    };
    if let Some((field, reason)) = connection.violations().into_iter().next() {
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

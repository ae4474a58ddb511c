//! The connection in requests and replies.

use domain::change::Change;
use domain::tenant::{ChirpStackConnection, ChirpStackMqtt, EVENT_TOPIC_DEFAULT, Tenant, WEBHOOK_HEADER_DEFAULT};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::CheckBody;
use super::secrets::Keeping;
use crate::http::Problem;
use crate::secret_input::{SecretInput, presence};

/// A connection to a ChirpStack.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "url": "https://chirpstack.example.com:8080", "chirpstack_tenant_id": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
    "api_key": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.…",
    "default_device_profile_id": "79d31395-8c6d-4b3f-8d9c-000000000001",
}))]
pub(crate) struct ChirpStackRequest {
    /// Of its gRPC API: http:// or https://, host and port.
    url: String,
    /// Id of the tenant over there.
    chirpstack_tenant_id: String,
    /// A tenant's key of ChirpStack, never shown again. May be left out when one is set and `url` stays.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    api_key: Change<SecretInput>,
    /// Certificates of the authority of an https URL (PEM); the system's own when absent.
    ca: Option<String>,
    /// What Waybill shows to a ChirpStack that asks for a certificate (PEM, with the certificates between it and its authority).
    client_certificate: Option<String>,
    /// The private key of this certificate (PEM, not encrypted), never shown again.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    client_key: Change<SecretInput>,
    /// For devices that name none.
    default_device_profile_id: Option<String>,
    /// What webhooks must show: the value of `webhook_header`, or the key of `X-Waybill-Signature`. Never shown again.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    webhook_secret: Change<SecretInput>,
    /// Counts as well. To replace a secret without a gap: set the new one here, change ChirpStack, then make it `webhook_secret` and this `null`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    second_webhook_secret: Change<SecretInput>,
    /// The header that has `webhook_secret`; `X-Waybill-Webhook-Secret` when absent.
    webhook_header: Option<String>,
    /// Applications whose new devices are imported without being asked for.
    auto_import: Option<Vec<String>>,
    /// The broker of ChirpStack's MQTT integration.
    mqtt: Option<MqttRequest>,
    pub(super) reason: Option<String>,
}

/// The broker of ChirpStack's MQTT integration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MqttRequest {
    /// mqtt:// or mqtts://, host and port.
    #[schema(example = "mqtts://broker.example.com:8883")]
    url: String,
    username: Option<String>,
    /// Never shown again.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Change<SecretInput>,
    /// Certificates of the authority of an mqtts URL (PEM); the system's own when absent.
    ca: Option<String>,
    /// What Waybill shows to a broker that asks for a certificate (PEM, with the certificates between it and its authority).
    client_certificate: Option<String>,
    /// The private key of this certificate (PEM, not encrypted), never shown again.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    client_key: Change<SecretInput>,
    /// As ChirpStack is configured: `application/{{application_id}}/device/{{dev_eui}}/event/{{event}}` when absent.
    event_topic: Option<String>,
}

impl ChirpStackRequest {
    /// Refuses to keep a secret that was given for another address: it must not be shown to this one.
    pub(super) fn may_keep_secrets_of(&self, before: Option<&ChirpStackConnection>) -> Result<(), Problem> {
        let Some(before) = before else { return Ok(()) };
        let refused = |field: &str| Err(Problem::invalid(field, "must be given again with another url"));
        if before.url != self.url && self.api_key.is_keep() {
            return refused("api_key");
        }
        match (&before.mqtt, &self.mqtt) {
            (Some(before), Some(mqtt))
                if before.url != mqtt.url && before.password.is_some() && mqtt.password.is_keep() =>
            {
                refused("mqtt.password")
            }
            _ => Ok(()),
        }
    }

    /// The connection that it wants. Secrets are noted in `keeping`, and not kept yet.
    pub(super) async fn connection(
        self,
        before: Option<&ChirpStackConnection>,
        keeping: &mut Keeping<'_>,
    ) -> Result<ChirpStackConnection, Problem> {
        let kept = |of: fn(&ChirpStackConnection) -> Option<&domain::SecretRef>| before.and_then(of);
        let api_key = keeping
            .changed("api_key", "api-key", kept(|before| Some(&before.api_key)), &self.api_key)
            .await?
            .ok_or_else(|| Problem::invalid("api_key", "is missing"))?;
        let secret = kept(|before| before.client_key.as_ref());
        let client_key = keeping.changed_pem("client_key", "client-key", secret, &self.client_key).await?;
        let secret = kept(|before| before.webhook_secret.as_ref());
        let webhook_secret = keeping.changed("webhook_secret", "webhook", secret, &self.webhook_secret).await?;
        let secret = kept(|before| before.second_webhook_secret.as_ref());
        let given = &self.second_webhook_secret;
        let second_webhook_secret = keeping.changed("second_webhook_secret", "second-webhook", secret, given).await?;
        let mqtt = match self.mqtt {
            None => None,
            Some(mqtt) => {
                let password = kept(|before| before.mqtt.as_ref()?.password.as_ref());
                let password = keeping.changed("mqtt.password", "mqtt", password, &mqtt.password).await?;
                let client_key = kept(|before| before.mqtt.as_ref()?.client_key.as_ref());
                let client_key =
                    keeping.changed_pem("mqtt.client_key", "mqtt-client-key", client_key, &mqtt.client_key).await?;
                let MqttRequest { url, username, ca, client_certificate, event_topic, .. } = mqtt;
                Some(ChirpStackMqtt { url, username, password, ca, client_certificate, client_key, event_topic })
            }
        };
        Ok(ChirpStackConnection {
            url: self.url,
            chirpstack_tenant_id: self.chirpstack_tenant_id,
            api_key,
            ca: self.ca,
            client_certificate: self.client_certificate,
            client_key,
            default_device_profile_id: self.default_device_profile_id,
            webhook_secret,
            second_webhook_secret,
            webhook_header: self.webhook_header,
            auto_import: self.auto_import.unwrap_or_default(),
            mqtt,
        })
    }
}

/// A tenant's connection to its ChirpStack.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChirpStackBody {
    url: String,
    chirpstack_tenant_id: String,
    /// `set`
    api_key: &'static str,
    ca: Option<String>,
    client_certificate: Option<String>,
    /// `set` or `missing`
    client_key: &'static str,
    default_device_profile_id: Option<String>,
    /// `set` or `missing`
    webhook_secret: &'static str,
    /// `set` or `missing`
    second_webhook_secret: &'static str,
    webhook_header: String,
    auto_import: Vec<String>,
    mqtt: Option<MqttBody>,
    /// How often a connection was set so far.
    revision: u64,
    /// Only in the reply to a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckBody>,
}

/// The broker of ChirpStack's MQTT integration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MqttBody {
    url: String,
    username: Option<String>,
    /// `set` or `missing`
    password: &'static str,
    ca: Option<String>,
    client_certificate: Option<String>,
    /// `set` or `missing`
    client_key: &'static str,
    event_topic: String,
}

impl ChirpStackBody {
    /// None without a connection.
    pub(super) fn of(tenant: &Tenant) -> Option<Self> {
        let connection = tenant.chirpstack.as_deref()?.clone();
        let mqtt = connection.mqtt.map(|mqtt| MqttBody {
            url: mqtt.url,
            username: mqtt.username,
            password: presence(mqtt.password.is_some()),
            ca: mqtt.ca,
            client_certificate: mqtt.client_certificate,
            client_key: presence(mqtt.client_key.is_some()),
            event_topic: mqtt.event_topic.unwrap_or_else(|| EVENT_TOPIC_DEFAULT.to_owned()),
        });
        Some(Self {
            url: connection.url,
            chirpstack_tenant_id: connection.chirpstack_tenant_id,
            api_key: presence(true),
            ca: connection.ca,
            client_certificate: connection.client_certificate,
            client_key: presence(connection.client_key.is_some()),
            default_device_profile_id: connection.default_device_profile_id,
            webhook_secret: presence(connection.webhook_secret.is_some()),
            second_webhook_secret: presence(connection.second_webhook_secret.is_some()),
            webhook_header: connection.webhook_header.unwrap_or_else(|| WEBHOOK_HEADER_DEFAULT.to_owned()),
            auto_import: connection.auto_import,
            mqtt,
            revision: tenant.chirpstack_revision(),
            check: None,
        })
    }

    pub(super) fn with(self, check: CheckBody) -> Self {
        Self { check: Some(check), ..self }
    }
}

//! Credentials in replies: never a token, never a hash.

use chrono::{DateTime, Utc};
use domain::device::Credential;
use domain::{DeviceId, TenantId};
use serde::Serialize;
use trust::DeviceLogin;
use utoipa::ToSchema;
use uuid::Uuid;

/// How the device logs in at the MQTT listener; the token is the password.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MqttLogin {
    #[schema(example = "default/d-1")]
    username: String,
    /// The client id, to which the device may add `/` and a suffix of its own.
    #[schema(example = "default/d-1")]
    client_id: String,
    /// Beginning of all topics of the device.
    #[schema(example = "default/devices/d-1/")]
    topic_prefix: String,
}

impl MqttLogin {
    pub(crate) fn of(tenant: &TenantId, device: &DeviceId) -> Self {
        let login = DeviceLogin { tenant: tenant.clone(), device: device.clone() };
        Self { username: login.to_string(), client_id: login.to_string(), topic_prefix: login.topic_prefix() }
    }
}

/// A credential that was not revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CredentialBody {
    credential_id: Uuid,
    issued_at: DateTime<Utc>,
    /// Null if it lasts until it is revoked.
    expires_at: Option<DateTime<Utc>>,
    /// Whether it has expired. An expired one is listed until another takes its place.
    expired: bool,
    /// Who issued it; `registration-token:{token_id}` if the device registered itself.
    #[schema(example = "user:42")]
    by: String,
}

impl CredentialBody {
    pub(super) fn of(credential: &Credential, now: DateTime<Utc>) -> Self {
        Self {
            credential_id: credential.id.0,
            issued_at: credential.issued_at,
            expires_at: credential.expires_at,
            expired: !credential.is_live(now),
            by: credential.by.to_string(),
        }
    }
}

/// Path of a device's credentials.
pub(super) fn location(device: &DeviceId) -> String {
    format!("/api/v1/devices/{device}/credentials")
}

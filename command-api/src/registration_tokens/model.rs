//! The registration token in replies, from its aggregate: never the token itself, never its hash.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::RegistrationTokenId;
use domain::registration_token::{RegistrationScope, RegistrationToken, RegistrationTokenStatus};
use event_store::Origin;
use projections::registration_tokens::RegistrationTokenRow;
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Done;

/// What a registration token allows, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationTokenBody {
    #[schema(value_type = uuid::Uuid)]
    token_id: String,
    /// `active`, `expired`, `revoked` or `used_up`.
    status: &'static str,
    /// Only devices of this model; null for any.
    device_model: Option<String>,
    /// Only devices of this type; null for any.
    device_type: Option<String>,
    /// Only devices whose ids begin with it; null for any.
    id_prefix: Option<String>,
    /// Tags of the devices that it registers.
    tags: BTreeMap<String, String>,
    expires_at: Option<DateTime<Utc>>,
    devices_max: u32,
    /// Devices that have used it; each counts once.
    devices_used: u64,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    /// Number of the token's events: its `ETag`.
    version: u64,
}

impl RegistrationTokenBody {
    /// After a command.
    pub(super) fn done(id: RegistrationTokenId, done: &Done<RegistrationToken>) -> Self {
        Self::of(id, &done.aggregate, done.origin.as_deref(), done.version)
    }

    pub(super) fn of(
        id: RegistrationTokenId,
        token: &RegistrationToken,
        origin: Option<&Origin>,
        version: u64,
    ) -> Self {
        let terms = token.terms();
        let RegistrationScope { device_model, device_type, id_prefix, tags } =
            terms.map(|terms| terms.scope.clone()).unwrap_or_default();
        Self {
            token_id: id.to_string(),
            status: RegistrationTokenStatus::word(token.status(clock::now())),
            device_model,
            device_type,
            id_prefix,
            tags,
            expires_at: terms.map(|terms| terms.expires_at),
            devices_max: terms.map_or(0, |terms| terms.devices_max),
            devices_used: token.devices.len() as u64,
            created_by: origin.map(|origin| origin.by.to_string()),
            created_at: origin.map(|origin| origin.at),
            version,
        }
    }
}

impl From<RegistrationTokenRow> for RegistrationTokenBody {
    fn from(row: RegistrationTokenRow) -> Self {
        let status = RegistrationTokenStatus::word(row.status(clock::now()));
        let RegistrationScope { device_model, device_type, id_prefix, tags } = row.scope;
        Self {
            token_id: row.token_id,
            status,
            device_model,
            device_type,
            id_prefix,
            tags,
            expires_at: Some(row.expires_at),
            devices_max: row.devices_max,
            devices_used: row.devices_used,
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            version: row.version,
        }
    }
}

/// Path of a registration token.
pub(super) fn location(id: RegistrationTokenId) -> String {
    format!("/api/v1/registration-tokens/{id}")
}

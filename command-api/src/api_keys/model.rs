//! The API key in replies, from its aggregate: never the key itself, never its hash.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::api_key::{ApiKey, ApiKeyStatus};
use domain::{ApiKeyId, Sealed, TenantId};
use event_store::Origin;
use projections::DbError;
use projections::api_key_uses;
use runtime::clock;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Role;
use crate::http::Done;
use crate::state::App;

/// What an API key allows, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyBody {
    key_id: Uuid,
    /// The beginning of the key, by which people recognise it. It is no secret.
    #[schema(example = "wbk_acme_018f4e2a7f00")]
    prefix: String,
    label: Option<String>,
    roles: Vec<String>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// Null: until it is revoked.
    expires_at: Option<DateTime<Utc>>,
    /// To a minute. Null if it was never used, and while PostgreSQL can't be reached.
    last_used_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    /// Number of the key's events: its `ETag`.
    version: u64,
}

/// How long a reply waits for last uses. Keys are also looked at and revoked while PostgreSQL is away.
const USES_TIMEOUT: Duration = Duration::from_millis(300);

/// Last uses by key.
pub(super) type Uses = HashMap<ApiKeyId, DateTime<Utc>>;

impl ApiKeyBody {
    /// After a command.
    pub(super) fn done(tenant: &TenantId, id: ApiKeyId, done: &Done<ApiKey>, uses: &Uses) -> Self {
        Self::of(tenant, id, &done.aggregate, done.origin.as_deref(), done.version, uses)
    }

    pub(super) fn of(
        tenant: &TenantId,
        id: ApiKeyId,
        key: &ApiKey,
        origin: Option<&Origin>,
        version: u64,
        uses: &Uses,
    ) -> Self {
        let terms = key.terms();
        Self {
            key_id: id.0,
            prefix: trust::ApiKey::prefix(tenant, id),
            label: terms.and_then(|terms| terms.label.as_ref().and_then(Sealed::plain).cloned()),
            roles: terms.map(|terms| terms.roles.iter().cloned().collect()).unwrap_or_default(),
            status: ApiKeyStatus::word(key.status(clock::now())),
            expires_at: terms.and_then(|terms| terms.expires_at),
            last_used_at: uses.get(&id).copied(),
            created_by: origin.map(|origin| origin.by.to_string()),
            created_at: origin.map(|origin| origin.at),
            version,
        }
    }
}

/// When keys were last used, as far as it is known now.
pub(super) async fn last_uses(app: &App, tenant: &TenantId, keys: &[ApiKeyId]) -> Uses {
    let mut uses = match stored_uses(app, tenant, keys).await {
        Ok(uses) => uses,
        Err(error) => {
            tracing::debug!(%error, "last uses of API keys can't be read");
            Uses::new()
        }
    };
    if let Some(known) = &app.api_keys {
        for (key, at) in keys.iter().filter_map(|key| Some((*key, known.last_uses.of(*key)?))) {
            let last = uses.entry(key).or_insert(at);
            *last = at.max(*last);
        }
    }
    uses
}

async fn stored_uses(app: &App, tenant: &TenantId, keys: &[ApiKeyId]) -> Result<Uses, DbError> {
    let read = async {
        let mut tx = app.db.read(tenant).await?;
        api_key_uses::of_keys(&mut tx, keys).await
    };
    let late = |_| Err(DbError::Unavailable(format!("no answer within {USES_TIMEOUT:?}")));
    timeout(USES_TIMEOUT, read).await.unwrap_or_else(late)
}

/// The role of a word; none for a word that this version doesn't know.
pub(super) fn role_of(word: &str) -> Option<Role> {
    serde_json::from_value(Value::String(word.to_owned())).ok()
}

/// Path of an API key.
pub(super) fn location(id: ApiKeyId) -> String {
    format!("/api/v1/api-keys/{id}")
}
